"""The comments of a pull request on GitHub (REST API, issues and pull requests, version 2022-11-28)."""

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

API_VERSION = "2022-11-28"
LIMIT_BYTES = 65_536
"""GitHub refuses 65,537 characters with 422; in bytes it is the same limit however characters are counted."""
_PAGE = 100
_PAGES = 100
_VIEWER = "query { viewer { databaseId login } }"
_FIX = "give the job `permissions: pull-requests: write`"


class GitHubConversation:
    """See ``Conversation``. ``place.number`` must be known."""

    limit_bytes = LIMIT_BYTES

    def __init__(
        self, place: Place, token: Secret, patience: Patience, *, session: requests.Session | None = None
    ) -> None:
        self._place = place
        self._repository = f"/repos/{place.project}"
        self._client = ApiClient(
            place.api_url,
            token,
            patience,
            accept="application/vnd.github+json",
            versions={"X-GitHub-Api-Version": API_VERSION},
            session=session,
        )
        self._author: int | None = None

    def standing(self) -> Standing:
        """See ``Conversation``."""
        value = self._permitted("GET", f"{self._repository}/pulls/{self._place.number}")
        try:
            return Standing(open=value["state"] == "open", head=str(value["head"]["sha"]))
        except (TypeError, KeyError):
            raise _not_understood() from None

    def comments(self) -> Iterable[Comment]:
        """See ``Conversation``. Oldest first."""
        author = self._own_id()
        for page in range(1, _PAGES + 1):
            query: dict[str, str | int] = {"per_page": _PAGE, "page": page}
            answer = self._client.call("GET", self._comments_path, query=query)
            for value in answer.body if isinstance(answer.body, list) else ():
                yield _comment(value, author)
            if not answer.more:
                return

    def create(self, body: str) -> int:
        """See ``Conversation``."""
        value = self._permitted("POST", self._comments_path, {"body": body})
        try:
            return int(value["id"])
        except (TypeError, KeyError, ValueError):
            raise _not_understood() from None

    def edit(self, comment: int, body: str) -> None:
        """See ``Conversation``."""
        self._client.call("PATCH", f"{self._repository}/issues/comments/{comment}", body={"body": body})

    def delete(self, comment: int) -> None:
        """See ``Conversation``."""
        try:
            self._client.call("DELETE", f"{self._repository}/issues/comments/{comment}")
        except Missing:
            return

    def login(self) -> str:
        """Whose token it is, such as ``github-actions[bot]``."""
        return str(self._viewer()["login"])

    def scopes(self) -> tuple[str, ...]:
        """None: GitHub does not say what the token of a workflow may do before it does it."""
        return ()

    @property
    def _comments_path(self) -> str:
        return f"{self._repository}/issues/{self._place.number}/comments"

    def _permitted(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """To a token without the right to see it, a repository is not there."""
        try:
            return self._client.call(method, path, body=body).body
        except (Forbidden, Missing) as error:
            raise Forbidden(error.reason, fix=_FIX) from None

    def _own_id(self) -> int:
        """The number of the account that the token writes as.

        GraphQL's ``viewer`` says it for every kind of token; REST's ``/user`` refuses the token of a workflow.
        """
        if self._author is None:
            self._author = int(self._viewer()["databaseId"])
        return self._author

    def _viewer(self) -> Any:
        answer = self._client.call("POST", self._place.graphql_url, body={"query": _VIEWER}, repeatable=True)
        try:
            viewer = answer.body["data"]["viewer"]
            if type(viewer["databaseId"]) is int and isinstance(viewer["login"], str):
                return viewer
        except (TypeError, KeyError):
            pass
        raise HostError("GitHub does not say whose token it is")


def _comment(value: Any, author: int) -> Comment:
    try:
        # The author of a comment whose account is gone is null.
        return Comment(int(value["id"]), (value.get("user") or {}).get("id") == author, value.get("body") or "")
    except (TypeError, KeyError, ValueError, AttributeError):
        raise _not_understood() from None


def _not_understood() -> HostError:
    return HostError("GitHub's answer is not what its documentation says")
