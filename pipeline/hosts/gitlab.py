"""The notes of a merge request on GitLab (REST API v4, notes and merge requests)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.hosts.client import ApiClient
from pipeline.hosts.conversation import Comment, Forbidden, HostError, Missing, Standing

if TYPE_CHECKING:
    from collections.abc import Iterable

    import requests

    from pipeline.hosts.patience import Patience
    from pipeline.hosts.place import Place
    from pipeline.hosts.secret import Secret

LIMIT_BYTES = 65_536
"""As long as a comment on GitHub. A note may hold a million characters, which nobody reads, and each page shows it."""
_PAGE = 50
_PAGES = 200
_FIX = "give GITLAB_TOKEN a project access token with the scope `api` and the role Reporter or above"


class GitLabConversation:
    """See ``Conversation``. ``place.number`` must be known. The job's own token may not write notes."""

    limit_bytes = LIMIT_BYTES

    def __init__(
        self, place: Place, token: Secret, patience: Patience, *, session: requests.Session | None = None
    ) -> None:
        self._merge_request = f"/projects/{place.project}/merge_requests/{place.number}"
        self._client = ApiClient(place.api_url, token, patience, header="PRIVATE-TOKEN", scheme="", session=session)
        self._author: int | None = None

    def standing(self) -> Standing:
        """See ``Conversation``."""
        value = self._permitted("GET", self._merge_request)
        try:
            return Standing(open=value["state"] == "opened", head=str(value["sha"]))
        except (TypeError, KeyError):
            raise _not_understood() from None

    def comments(self) -> Iterable[Comment]:
        """See ``Conversation``. Oldest first."""
        author = self._own_id()
        for page in range(1, _PAGES + 1):
            query: dict[str, str | int] = {"per_page": _PAGE, "page": page, "sort": "asc", "order_by": "created_at"}
            answer = self._client.call("GET", f"{self._merge_request}/notes", query=query)
            for value in answer.body if isinstance(answer.body, list) else ():
                yield _comment(value, author)
            if not answer.more:
                return

    def create(self, body: str) -> int:
        """See ``Conversation``."""
        value = self._permitted("POST", f"{self._merge_request}/notes", {"body": body})
        try:
            return int(value["id"])
        except (TypeError, KeyError, ValueError):
            raise _not_understood() from None

    def edit(self, comment: int, body: str) -> None:
        """See ``Conversation``."""
        self._client.call("PUT", f"{self._merge_request}/notes/{comment}", body={"body": body})

    def delete(self, comment: int) -> None:
        """See ``Conversation``."""
        try:
            self._client.call("DELETE", f"{self._merge_request}/notes/{comment}")
        except Missing:
            return

    def login(self) -> str:
        """Whose token it is, such as ``project_5_bot_4ffca233``."""
        return str(self._user().get("username"))

    def scopes(self) -> tuple[str, ...]:
        """What the token may do, such as ``api``; none where GitLab does not say."""
        try:
            value = self._client.call("GET", "/personal_access_tokens/self").body
        except (Forbidden, Missing):
            return ()
        found = value.get("scopes") if isinstance(value, dict) else None
        return tuple(str(scope) for scope in found) if isinstance(found, list) else ()

    def _permitted(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """To a token without the right to see it, a project is not there."""
        try:
            return self._client.call(method, path, body=body).body
        except (Forbidden, Missing) as error:
            raise Forbidden(error.reason, fix=_FIX) from None

    def _own_id(self) -> int:
        if self._author is None:
            self._author = int(self._user()["id"])
        return self._author

    def _user(self) -> Any:
        value = self._permitted("GET", "/user")
        if not isinstance(value, dict) or type(value.get("id")) is not int:
            raise HostError("GitLab does not say whose token it is")
        return value


def _comment(value: Any, author: int) -> Comment:
    try:
        return Comment(
            int(value["id"]),
            value["author"]["id"] == author and value.get("system") is not True,
            value.get("body") or "",
        )
    except (TypeError, KeyError, ValueError, AttributeError):
        raise _not_understood() from None


def _not_understood() -> HostError:
    return HostError("GitLab's answer is not what its documentation says")
