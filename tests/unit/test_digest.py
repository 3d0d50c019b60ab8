from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.digest import Digest, canonical_json, digest_from_bytes, digest_from_file, digest_from_json

if TYPE_CHECKING:
    from pathlib import Path

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.binary(max_size=200))
def test_printing_and_parsing_a_digest_are_inverse(data: bytes) -> None:
    digest = digest_from_bytes(data)

    assert Digest.parse(str(digest)) == digest


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256:",
        "sha256:" + "0" * 63,
        "sha256:" + "0" * 65,
        "sha256:" + "A" * 64,
        "md5:" + "0" * 64,
        "0" * 64,
        " sha256:" + "0" * 64,
        "sha256:" + "0" * 64 + "\n",
        "sha256:" + "\u0660" * 64,
    ],
)
def test_text_that_is_no_digest_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a digest"):
        Digest.parse(text)


@pytest.mark.parametrize("size_bytes", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20])
def test_a_file_has_the_digest_of_its_bytes(tmp_path: Path, size_bytes: int) -> None:
    data = bytes(range(251)) * (size_bytes // 251 + 1)
    path = tmp_path / "data"
    path.write_bytes(data[:size_bytes])

    assert digest_from_file(path) == digest_from_bytes(data[:size_bytes])


def test_a_digest_is_plain_sha256() -> None:
    assert digest_from_bytes(b"abc").hex == hashlib.sha256(b"abc").hexdigest()


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        digest_from_file(tmp_path / "missing")


@given(JSON_VALUES)
def test_canonical_json_reads_back_to_the_same_text(value: object) -> None:
    text = canonical_json(value) if _encodable(value) else b"null"

    assert canonical_json(json.loads(text)) == text


@given(st.dictionaries(st.text(alphabet="abcdef", max_size=3), st.integers(), max_size=6))
def test_the_order_of_members_does_not_change_a_json_digest(value: dict[str, int]) -> None:
    assert digest_from_json(dict(reversed(value.items()))) == digest_from_json(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_json_lacks_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"a": [value]})


def test_canonical_json_is_golden() -> None:
    value = {"b": [1, 1.5, True, None], "a": "é\n", "c": {}}

    assert canonical_json(value) == '{"a":"é\\n","b":[1,1.5,true,null],"c":{}}'.encode()
    assert str(digest_from_json(value)) == "sha256:5e7c477da5ad7325d1713a66e485186d0907ce74c50664b579462aba9ed5eeb9"


def _encodable(value: object) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True
