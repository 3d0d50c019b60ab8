"""Changes that keep most of an input's form, so that a fuzzer comes past the parser."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

from tests.support.hostile import HOSTILE_TEXTS

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    Container = dict[str, Any] | list[Any]

_VALUES: tuple[Any, ...] = (
    *HOSTILE_TEXTS,
    *(None, True, False, [], {}, 0, -1, 1, 2**31, 2**63, 10**400, -(10**400), 0.5, 1e308, -1e308, 5e-324, "nan", "-->"),
)
_WORDS = (
    *("null", "~", "true", "yes", "-1", "0x10", "1e999", ".inf", ".nan", "1_000", "2001-01-01", "9" * 400, "[]", "{}"),
    *("../model.onnx", "/etc/passwd", "'", '"', "|", ">", "&a", "*a", "!!python/name:os.system", "<<: {}", "? x", "- "),
    *("[1, 2, 3]", "{min: [1], opt: [2], max: [3]}", "int8", "fp16", "tensorrt-rtx", "\u2028", "\x85", "\ufeff", "\t"),
)


def mutated_json(data: bytes, random: Random, mutate: Callable[[bytes], bytes]) -> bytes:
    """``data`` with one to four values of its JSON exchanged, removed, doubled or moved; where it is none, as bytes."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return mutate(data)
    for _ in range(random.randint(1, 4)):
        places = _places(value)
        if not places:
            return mutate(data)
        _change(random, places, mutate)
    return json.dumps(value).encode()


def mutated_lines(data: bytes, random: Random, mutate: Callable[[bytes], bytes]) -> bytes:
    """``data`` with lines removed, doubled, indented or given another value; in one case of two with bytes changed."""
    if random.random() < 0.5:
        return mutate(data)
    lines = data.decode(errors="surrogateescape").split("\n")
    for _ in range(random.randint(1, 3)):
        at = random.randrange(len(lines))
        line = lines[at]
        kind = random.randrange(6)
        if kind == 0 and len(lines) > 1:
            del lines[at]
        elif kind == 1:
            lines.insert(random.randrange(len(lines) + 1), line)
        elif kind == 2:
            lines[at] = random.choice(("  ", " ", "- ")) + line
        elif kind == 3:
            lines[at] = line[1:]
        else:
            head, colon, _value = line.rpartition(":")
            lines[at] = f"{head}{colon} {random.choice((*_WORDS, *HOSTILE_TEXTS))}"
    return "\n".join(lines).encode(errors="surrogatepass")


def _places(value: Any) -> list[tuple[Container, Any]]:
    """Every container of a JSON value with each of its keys or indices."""
    found: list[tuple[Container, Any]] = []
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict | list):
            keys = list(each) if isinstance(each, dict) else list(range(len(each)))
            found.extend((each, key) for key in keys)
            waiting.extend(each[key] for key in keys)
    return found


def _change(random: Random, places: list[tuple[Container, Any]], mutate: Callable[[bytes], bytes]) -> None:
    container, key = random.choice(places)
    kind = random.randrange(6)
    if kind == 0:
        del container[key]
    elif kind == 1:
        other, place = random.choice(places)
        container[key] = copy.deepcopy(other[place])
    elif kind == 2 and isinstance(container, list):
        container.append(copy.deepcopy(container[key]))
    elif kind == 3 and isinstance(container, dict):
        container[str(random.choice(HOSTILE_TEXTS))] = container.pop(key)
    elif kind == 4 and isinstance(container[key], str):
        container[key] = mutate(container[key].encode(errors="replace")).decode(errors="replace")
    else:
        container[key] = copy.deepcopy(random.choice(_VALUES))
