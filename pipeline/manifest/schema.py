"""``schemas/manifest.schema.json`` applied to a document: one fault with its fix for each broken rule."""

from __future__ import annotations

import json
import re
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.manifest.document import MAX_FAULTS
from pipeline.manifest.node import INVALID, Node, fault_at, path_of_key, shown
from pipeline.near import near_spelling

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jsonschema.exceptions import ValidationError

    from pipeline.errors import Fault

    Steps = tuple[str | int, ...]

SCHEMA_FILE = Path(__file__).parents[2] / "schemas" / "manifest.schema.json"
_KINDS = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
}
_BOOLEAN_WORDS = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}
_HOMES = {"model": "a model", "target": "a target", "shape_range": "the shapes of an input"}
_OTHERS_SHAPE = re.compile(r"[0-9]+(?:[xX,] ?[0-9]+)+")
"""A shape as other tools take it: ``8x3x224x224`` or ``8,3,224,224``."""
_OF_MEMBERS = frozenset({"additionalProperties", "required"})


@cache
def manifest_schema() -> Mapping[str, Any]:
    """The schema as JSON."""
    schema: Mapping[str, Any] = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    return schema


def check_schema(root: Node) -> tuple[tuple[Fault, ...], Node]:
    """Every fault of form, and the tree with each value at fault, or of an unknown field, replaced by ``INVALID``.

    After ``MAX_FAULTS`` faults the rest is not looked at, and the whole tree is ``INVALID``.
    """
    from jsonschema import Draft202012Validator

    errors = Draft202012Validator(manifest_schema()).iter_errors(root.plain())
    found: dict[tuple[Steps, str], list[Fault]] = {}
    invalid: set[Steps] = set()
    total = 0
    for error in (told for raised in errors for told in _told(raised)):
        steps: Steps = tuple(error.absolute_path)
        if root.at(steps).value is INVALID:
            continue
        subject = error.validator if error.validator in _OF_MEMBERS else "value"
        if "propertyNames" in error.absolute_schema_path:
            subject, steps = "key", (*steps, str(error.instance))
        if (steps, subject) in found and error.validator != "type":
            continue
        faults = list(islice(_faults(error, root.at(steps), subject), MAX_FAULTS - total))
        found[steps, subject] = faults
        total += len(faults)
        if subject == "additionalProperties":
            known = _as_mapping(error.schema).get("properties", {})
            invalid.update((*steps, name) for name in root.at(steps).members if name not in known)
        elif subject != "required":
            invalid.add(steps)
        if total >= MAX_FAULTS:
            invalid.add(())
            break
    return tuple(fault for faults in found.values() for fault in faults), _pruned(root, invalid)


def _told(error: ValidationError) -> Iterator[ValidationError]:
    """The errors worth telling: of ``anyOf``, those of the one branch whose type fits."""
    if error.validator != "anyOf":
        yield error
        return
    branches: dict[Any, list[ValidationError]] = {}
    for inner in error.context or ():
        branches.setdefault(inner.schema_path[0], []).append(inner)
    for inners in branches.values():
        if not any(inner.validator == "type" and not inner.relative_path for inner in inners):
            for inner in inners:
                yield from _told(inner)
            return
    yield error


def _faults(error: ValidationError, node: Node, subject: str) -> Iterator[Fault]:
    rule, schema = str(error.validator), _as_mapping(error.schema)
    if rule == "required":
        for name in schema["required"]:
            if name not in node.members:
                fix = f"add `{name}: {_example(schema['properties'][name])}`"
                yield fault_at(node.location, node.path, f"lacks `{name}`", fix)
    elif rule == "additionalProperties":
        known = schema.get("properties", {})
        for name, member in node.members.items():
            if name not in known:
                location = member.key or member.location
                yield fault_at(location, path_of_key(node.path, name), "unknown field", _fix_of_field(name, known))
    elif subject == "key":
        what, fix = _what_and_fix(rule, error.validator_value, error.instance, schema)
        yield fault_at(node.key or node.location, node.path, f"as a key, {what}", fix)
    elif rule in ("type", "anyOf"):
        yield _type_fault(error, node)
    else:
        yield node.fault(*_what_and_fix(rule, error.validator_value, error.instance, schema))


def _type_fault(error: ValidationError, node: Node) -> Fault:
    types = [str(error.validator_value)]
    if error.validator == "anyOf":
        types = [str(inner.validator_value) for inner in error.context or () if inner.validator == "type"]
    wanted = " or ".join(dict.fromkeys(_KINDS[name] for name in types))
    value = node.value
    if value is None:
        return node.fault("has no value", f"write {wanted} after the colon, or remove the field")
    fix = f"write {wanted}, such as {_example(_as_mapping(error.schema))}"
    if types == ["string"] and isinstance(value, bool | int | float):
        fix = f'write it in quotes: "{node.text}"'
    elif "boolean" in types and isinstance(value, str):
        fix = f"write {_BOOLEAN_WORDS.get(value.lower(), 'true or false')}, without quotes"
    elif isinstance(value, str) and value.replace(".", "", 1).isdigit() and {"integer", "number"} & set(types):
        fix = f"remove the quotes: {value}"
    elif "array" in types and isinstance(value, str) and _OTHERS_SHAPE.fullmatch(value):
        fix = f"write a list: [{', '.join(re.findall('[0-9]+', value))}]"
    elif types == ["array"] and isinstance(value, dict):
        fix = "write a list: begin each entry with `- `"
    elif types == ["array"]:
        fix = f"write a list: [{node.text}]"
    return node.fault(f"must be {wanted}, not {shown(node.plain())}", fix)


def _what_and_fix(rule: str, limit: Any, instance: Any, schema: Mapping[str, Any]) -> tuple[str, str]:
    if rule == "const":
        return f"must be {shown(limit)}, not {shown(instance)}", f"write {shown(limit)}"
    if rule == "enum":
        fix = near_spelling(str(instance), limit) or f"use one of {', '.join(map(str, limit))}"
        return f"{shown(instance)} is not known here", fix
    if rule == "pattern":
        return f"{shown(instance)} has the wrong form", str(schema["$comment"])
    if rule in ("minimum", "maximum", "exclusiveMinimum"):
        bound = {"minimum": "at least", "maximum": "at most", "exclusiveMinimum": "more than"}[rule]
        return f"must be {bound} {limit}, not {shown(instance)}", f"give {_range(schema)}"
    if rule == "minLength":
        return "must not be empty", "write something, or remove the field"
    if rule == "maxLength":
        return f"is longer than {limit} characters", "shorten it"
    if rule == "uniqueItems":
        return "lists an entry twice", "remove one of the two"
    few = rule.startswith("min")
    entries = "entry" if limit == 1 else "entries"
    what = f"must have at {'least' if few else 'most'} {limit} {entries}"
    return what, "add an entry, or remove the field" if few else "remove some"


def _fix_of_field(name: str, known: Mapping[str, Any]) -> str:
    if near := near_spelling(name, known):
        return near
    definitions = manifest_schema()["$defs"]
    homes = [place for place, definition in definitions.items() if name in definition.get("properties", {})]
    if homes:
        return f"it belongs in {' or '.join(_HOMES.get(home, f'`{home}`') for home in homes)}"
    return f"the fields here are {', '.join(known)}"


def _range(schema: Mapping[str, Any]) -> str:
    if "minimum" in schema:
        return f"a number from {schema['minimum']} to {schema['maximum']}"
    return f"a number above {schema['exclusiveMinimum']}, at most {schema['maximum']}"


def _example(schema: Mapping[str, Any]) -> str:
    examples = schema.get("examples")
    return json.dumps(examples[0], ensure_ascii=False) if examples else "1"


def _as_mapping(schema: Any) -> Mapping[str, Any]:
    return schema if isinstance(schema, dict) else {}


def _pruned(node: Node, invalid: set[Steps]) -> Node:
    if not invalid:
        return node
    if () in invalid:
        return Node(INVALID, node.location, node.path, node.key)
    below: dict[str | int, set[Steps]] = {}
    for first, *rest in invalid:
        below.setdefault(first, set()).add(tuple(rest))
    value: Any
    if isinstance(node.value, dict):
        value = {name: _pruned(member, below.get(name, set())) for name, member in node.value.items()}
    else:
        value = [_pruned(item, below.get(index, set())) for index, item in enumerate(node.items)]
    return Node(value, node.location, node.path, node.key)
