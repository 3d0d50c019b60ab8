"""Requests and answers held against GitHub's own description of its API."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator

if TYPE_CHECKING:
    from collections.abc import Mapping

FIXTURES = Path(__file__).parents[1] / "fixtures"
_ANY_OPERATION = {401, 403, 404, 408, 429, 500, 502, 503}
"""What GitHub answers to any request and names in none: no token, no right, a limit, trouble of its own."""


class Description:
    """The operations of ``tests/fixtures/github-openapi-VERSION.json``."""

    def __init__(self) -> None:
        (path,) = FIXTURES.glob("github-openapi-*.json")
        self._whole = json.loads(path.read_text())
        self._components = _with_null(self._whole["components"])

    def example(self, name: str) -> Any:
        """A whole answer, as GitHub gives it; a copy of its own."""
        return json.loads(json.dumps(self._whole["components"]["examples"][name]["value"]))

    def request_faults(self, method: str, path: str, query: Mapping[str, str], body: Any) -> list[str]:
        """What is wrong with a request; nothing where it is described so."""
        found = self._operation(method, path)
        if found is None:
            return [f"no operation {method} {path}"]
        operation, values = found
        parameters = [self._resolved(each) for each in operation.get("parameters", ())]
        known = {each["name"]: each for each in parameters}
        faults = [f"unknown parameter {name}" for name in query if known.get(name, {}).get("in") != "query"]
        for name, text in {**values, **query}.items():
            schema = known[name]["schema"] if name in known else {}
            faults += self._faults(int(text) if schema.get("type") == "integer" else text, schema, name)
        content = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if content is None:
            return faults + (["a body"] if body is not None else [])
        unknown = set(body or {}) - set(content["schema"].get("properties", {}))
        return faults + [f"unknown field {name}" for name in unknown] + self._faults(body, content["schema"], "body")

    def answer_faults(self, method: str, path: str, status: int, body: Any) -> list[str]:
        """What is wrong with the answer of the fake, which must not be more obliging than GitHub."""
        found = self._operation(method, path)
        responses = found[0]["responses"] if found else {}
        if str(status) in responses:
            content = self._resolved(responses[str(status)]).get("content", {}).get("application/json")
            if content is None:
                return [] if body is None else [f"a body with {status}"]
            return self._faults(body, content["schema"], f"answer {status}")
        if status not in _ANY_OPERATION:
            return [f"{method} {path} never answers {status}"]
        return (
            [] if body is None else self._faults(body, {"$ref": "#/components/schemas/basic-error"}, f"answer {status}")
        )

    def _operation(self, method: str, path: str) -> tuple[Any, dict[str, str]] | None:
        for template, methods in self._whole["paths"].items():
            match = re.fullmatch(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template), path)
            if match and method.lower() in methods:
                return methods[method.lower()], match.groupdict()
        return None

    def _resolved(self, value: Any) -> Any:
        if "$ref" not in value:
            return value
        _, _, section, name = value["$ref"].split("/")
        return self._whole["components"][section][name]

    def _faults(self, value: Any, schema: Any, where: str) -> list[str]:
        validator = Draft202012Validator({**_with_null(schema), "components": self._components})
        return [f"{where}: {error.json_path}: {error.message[:200]}" for error in validator.iter_errors(value)]


def _with_null(value: Any) -> Any:
    """OpenAPI 3.0's ``nullable`` in the words of JSON Schema."""
    if isinstance(value, list):
        return [_with_null(item) for item in value]
    if not isinstance(value, dict):
        return value
    schema = {name: _with_null(item) for name, item in value.items()}
    return {"anyOf": [schema, {"type": "null"}]} if schema.pop("nullable", None) is True else schema
