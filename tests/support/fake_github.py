"""GitHub on this machine: one repository, one pull request, its comments, the rights of one token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.support.fake_host import FakeHost, Reply
from tests.support.openapi import Description

if TYPE_CHECKING:
    from collections.abc import Mapping

REPOSITORY = "team/models"
NUMBER = 7
TOKEN = "ghs_canary0123456789secret"
OWN = 41_898_282
STRANGER = 583_231
HEAD = "a" * 40
_PULL = f"/repos/{REPOSITORY}/pulls/{NUMBER}"
_COMMENTS = f"/repos/{REPOSITORY}/issues/{NUMBER}/comments"
_COMMENT = f"/repos/{REPOSITORY}/issues/comments/"
_MOST_CHARACTERS = 65_536


class FakeGitHub(FakeHost):
    """What GitHub does, as far as we use it. ``may_write`` is whether the token has ``pull-requests: write``."""

    def __init__(self, *, may_write: bool = True) -> None:
        super().__init__()
        self.may_write = may_write
        self.open = True
        self.head = HEAD
        self.comments: dict[int, tuple[int, str]] = {}
        self._description = Description()
        self._last = 9000

    def say(self, body: str, author: int = OWN) -> int:
        """A comment that is there already."""
        self._last += 1
        self.comments[self._last] = (author, body)
        return self._last

    @property
    def own_bodies(self) -> list[str]:
        return [body for author, body in self.comments.values() if author == OWN]

    def environment(self, event_path: str) -> dict[str, str]:
        """What a runner would set."""
        return {
            "GITHUB_ACTIONS": "true",
            "GITHUB_REPOSITORY": REPOSITORY,
            "GITHUB_API_URL": self.url,
            "GITHUB_GRAPHQL_URL": f"{self.url}/graphql",
            "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_RUN_ID": "123",
            "GITHUB_EVENT_NAME": "pull_request",
            "GITHUB_EVENT_PATH": event_path,
            "GITHUB_REPOSITORY_ID": "5",
            "GITHUB_REF": f"refs/pull/{NUMBER}/merge",
            "GITHUB_SHA": "f" * 40,
            "GITHUB_TOKEN": TOKEN,
        }

    def event(self, *, head_repository: str = REPOSITORY, head: str = HEAD) -> dict[str, Any]:
        """What ``GITHUB_EVENT_PATH`` holds."""
        return {"pull_request": {"number": NUMBER, "head": {"sha": head, "repo": {"full_name": head_repository}}}}

    def reply(self, method: str, path: str, query: dict[str, str], headers: Mapping[str, str], body: Any) -> Reply:
        if headers.get("authorization") != f"Bearer {TOKEN}":
            return self._error(401, "Bad credentials")
        if path == "/graphql":
            return Reply(200, {"data": {"viewer": {"databaseId": OWN, "login": "github-actions[bot]"}}})
        if path == _PULL:
            pull = self._description.example("pull-request")
            pull["requested_teams"] = []  # the published example lacks what the published schema wants of one
            pull["state"], pull["head"]["sha"] = "open" if self.open else "closed", self.head
            return Reply(200, pull)
        if path == _COMMENTS and method == "GET":
            return self._page(int(query.get("per_page", "30")), int(query.get("page", "1")))
        if not self.may_write:
            return self._error(403, "Resource not accessible by integration")
        if body is not None and len(body["body"]) > _MOST_CHARACTERS:
            return self._error(422, "Validation Failed: Body is too long (maximum is 65536 characters)")
        if path == _COMMENTS and method == "POST":
            return Reply(201, self._comment(self.say(body["body"])))
        number = path.removeprefix(_COMMENT)
        if not path.startswith(_COMMENT) or int(number) not in self.comments:
            return self._error(404, "Not Found")
        if method == "DELETE":
            del self.comments[int(number)]
            return Reply(204)
        self.comments[int(number)] = (self.comments[int(number)][0], body["body"])
        return Reply(200, self._comment(int(number)))

    def check_request(self, method: str, path: str, query: dict[str, str], body: Any) -> list[str]:
        if path == "/graphql":
            return [] if method == "POST" and set(body) == {"query"} else [f"no query: {body}"]
        return self._description.request_faults(method, path, query, body)

    def check_answer(self, method: str, path: str, reply: Reply) -> list[str]:
        if path == "/graphql":
            return []
        return self._description.answer_faults(method, path, reply.status, reply.body)

    def error_body(self, message: str, status: int) -> Any:
        if status == 200:  # GraphQL alone says no in this way
            return {"errors": [{"type": "RATE_LIMITED", "message": message}]}
        body = {"message": message, "documentation_url": "https://docs.github.com/rest"}
        return body if status == 422 else {**body, "status": str(status)}

    def _error(self, status: int, message: str) -> Reply:
        return Reply(status, self.error_body(message, status))

    def _page(self, size: int, page: int) -> Reply:
        numbers = sorted(self.comments)[(page - 1) * size : page * size]
        more = len(self.comments) > page * size
        link = {"Link": f'<{self.url}{_COMMENTS}?page={page + 1}>; rel="next"'} if more else {}
        return Reply(200, [self._comment(number) for number in numbers], link)

    def _comment(self, number: int) -> Any:
        author, body = self.comments[number]
        comment = self._description.example("issue-comment")
        comment["id"], comment["body"], comment["user"]["id"] = number, body, author
        return comment
