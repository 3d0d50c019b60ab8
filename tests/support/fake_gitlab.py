"""GitLab on this machine: one merge request, its notes, the rights of one token.

Held against what docs.gitlab.com/api/notes, /api/merge_requests and /api/users say of parameters and of answers.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator

from tests.support.fake_host import FakeHost, Reply

if TYPE_CHECKING:
    from collections.abc import Mapping

TOKEN = "glpat-canary0123456789secret"
OWN = 77
HEAD = "a" * 40
_MOST_CHARACTERS = 1_000_000
_MERGE_REQUEST = "/api/v4/projects/5/merge_requests/11"

_PARAMETERS: dict[str, dict[str, set[str]]] = {
    rf"GET {_MERGE_REQUEST}": {
        "query": {"render_html", "include_diverged_commits_count", "include_rebase_in_progress"},
        "body": set(),
    },
    rf"GET {_MERGE_REQUEST}/notes": {"query": {"sort", "order_by", "page", "per_page"}, "body": set()},
    rf"POST {_MERGE_REQUEST}/notes": {
        "query": set(),
        "body": {"body", "created_at", "internal", "merge_request_diff_head_sha"},
    },
    rf"PUT {_MERGE_REQUEST}/notes/\d+": {"query": set(), "body": {"body"}},
    rf"DELETE {_MERGE_REQUEST}/notes/\d+": {"query": set(), "body": set()},
    r"GET /api/v4/user": {"query": set(), "body": set()},
    r"GET /api/v4/personal_access_tokens/self": {"query": set(), "body": set()},
}

_TIME = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d"}
_AUTHOR = {
    "type": "object",
    "required": ["id", "username", "name", "state"],
    "properties": {
        "id": {"type": "integer"},
        "username": {"type": "string"},
        "name": {"type": "string"},
        "state": {"enum": ["active", "blocked"]},
    },
}
_NOTE = {
    "type": "object",
    "required": [
        "id",
        "body",
        "author",
        "created_at",
        "updated_at",
        "system",
        "noteable_id",
        "noteable_type",
        "project_id",
        "noteable_iid",
        "resolvable",
        "confidential",
        "internal",
    ],
    "properties": {
        "id": {"type": "integer"},
        "body": {"type": "string"},
        "attachment": {"type": ["string", "null"]},
        "author": _AUTHOR,
        "created_at": _TIME,
        "updated_at": _TIME,
        "system": {"type": "boolean"},
        "noteable_id": {"type": "integer"},
        "noteable_type": {"const": "MergeRequest"},
        "project_id": {"type": "integer"},
        "noteable_iid": {"type": "integer"},
        "resolvable": {"type": "boolean"},
        "confidential": {"type": "boolean"},
        "internal": {"type": "boolean"},
    },
    "additionalProperties": False,
}
_ANSWERS: dict[tuple[str, int], Any] = {
    (rf"GET {_MERGE_REQUEST}", 200): {
        "type": "object",
        "required": ["id", "iid", "project_id", "state", "sha"],
        "properties": {"state": {"enum": ["opened", "closed", "locked", "merged"]}, "sha": {"type": "string"}},
    },
    (rf"GET {_MERGE_REQUEST}/notes", 200): {"type": "array", "items": _NOTE},
    (rf"POST {_MERGE_REQUEST}/notes", 201): _NOTE,
    (rf"PUT {_MERGE_REQUEST}/notes/\d+", 200): _NOTE,
    (r"GET /api/v4/user", 200): _AUTHOR,
    (r"GET /api/v4/personal_access_tokens/self", 200): {
        "type": "object",
        "required": ["id", "name", "scopes", "user_id", "active"],
        "properties": {"scopes": {"type": "array", "items": {"type": "string"}}},
    },
}


class FakeGitLab(FakeHost):
    """What GitLab does, as far as we use it. ``may_write`` is whether the token has the scope ``api``."""

    def __init__(self, *, may_write: bool = True) -> None:
        super().__init__()
        self.may_write = may_write
        self.state = "opened"
        self.head = HEAD
        self.notes: dict[int, tuple[int, str, bool]] = {}
        self._last = 300

    def say(self, body: str, author: int = OWN, *, system: bool = False) -> int:
        """A note that is there already."""
        self._last += 1
        self.notes[self._last] = (author, body, system)
        return self._last

    @property
    def own_bodies(self) -> list[str]:
        return [body for author, body, system in self.notes.values() if author == OWN and not system]

    def environment(self) -> dict[str, str]:
        """What a runner sets for a pipeline of the merge request."""
        return {
            "GITLAB_CI": "true",
            "CI_API_V4_URL": f"{self.url}/api/v4",
            "CI_PROJECT_ID": "5",
            "CI_MERGE_REQUEST_PROJECT_ID": "5",
            "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "5",
            "CI_MERGE_REQUEST_IID": "11",
            "CI_COMMIT_SHA": self.head,
            "CI_PIPELINE_URL": "https://gitlab.example.com/team/models/-/pipelines/9",
            "GITLAB_TOKEN": TOKEN,
        }

    def reply(self, method: str, path: str, query: dict[str, str], headers: Mapping[str, str], body: Any) -> Reply:
        if headers.get("private-token") != TOKEN:
            return Reply(401, {"message": "401 Unauthorized"})
        if path == "/api/v4/user":
            return Reply(200, self._author(OWN))
        if path.endswith("/personal_access_tokens/self"):
            scopes = ["api"] if self.may_write else ["read_api"]
            return Reply(200, {"id": 4, "name": "ci", "scopes": scopes, "user_id": OWN, "active": True})
        if path == _MERGE_REQUEST:
            return Reply(200, {"id": 2, "iid": 11, "project_id": 5, "state": self.state, "sha": self.head})
        if path == f"{_MERGE_REQUEST}/notes" and method == "GET":
            return self._page(int(query.get("per_page", "20")), int(query.get("page", "1")))
        return self._written(method, path, body)

    def _written(self, method: str, path: str, body: Any) -> Reply:
        if not self.may_write:
            return Reply(
                403, {"error": "insufficient_scope", "error_description": "The request requires higher privileges."}
            )
        if body is not None and len(body["body"]) > _MOST_CHARACTERS:
            return Reply(400, {"message": {"note": ["is too long (maximum is 1000000 characters)"]}})
        if method == "POST":
            return Reply(201, self._note(self.say(body["body"])))
        number = int(path.rsplit("/", 1)[1])
        if number not in self.notes:
            return Reply(404, {"message": "404 Not found"})
        if method == "DELETE":
            del self.notes[number]
            return Reply(204)
        self.notes[number] = (self.notes[number][0], body["body"], False)
        return Reply(200, self._note(number))

    def check_request(self, method: str, path: str, query: dict[str, str], body: Any) -> list[str]:
        for operation, known in _PARAMETERS.items():
            if re.fullmatch(operation, f"{method} {path}"):
                unknown = (set(query) - known["query"]) | (set(body or {}) - known["body"])
                return [f"{method} {path} takes no {name}" for name in sorted(unknown)]
        return [f"no operation {method} {path}"]

    def check_answer(self, method: str, path: str, reply: Reply) -> list[str]:
        for (operation, status), schema in _ANSWERS.items():
            if status == reply.status and re.fullmatch(operation, f"{method} {path}"):
                return [f"{path}: {error.message}" for error in Draft202012Validator(schema).iter_errors(reply.body)]
        if reply.status == 204:
            return [] if reply.body is None else ["a body with 204"]
        return [] if reply.status >= 400 and isinstance(reply.body, dict) else [f"{method} {path} {reply.status}"]

    def error_body(self, message: str, status: int) -> Any:
        return {"message": message}

    def _page(self, size: int, page: int) -> Reply:
        numbers = sorted(self.notes)[(page - 1) * size : page * size]
        more = len(self.notes) > page * size
        link = {"Link": f'<{self.url}{_MERGE_REQUEST}/notes?page={page + 1}>; rel="next"'} if more else {}
        return Reply(200, [self._note(number) for number in numbers], link)

    def _author(self, number: int) -> Any:
        return {"id": number, "username": f"project_5_bot_{number}", "name": "bot", "state": "active"}

    def _note(self, number: int) -> Any:
        author, body, system = self.notes[number]
        return {
            "id": number,
            "body": body,
            "attachment": None,
            "author": self._author(author),
            "created_at": "2030-10-02T08:57:14Z",
            "updated_at": "2030-10-02T08:57:14Z",
            "system": system,
            "noteable_id": 2,
            "noteable_type": "MergeRequest",
            "project_id": 5,
            "noteable_iid": 11,
            "resolvable": False,
            "confidential": False,
            "internal": False,
        }
