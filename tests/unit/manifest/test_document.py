from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from pipeline.manifest.document import MAX_BYTES, MAX_DEPTH, MAX_FAULTS, MAX_NODES, read_document


def _document(folder: Path, text: str | bytes) -> Path:
    path = folder / "m.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def _faults(path: Path) -> list[str]:
    _, faults = read_document(path)
    return [f"{fault.line}:{fault.column}: {fault.path}: {fault.what}" for fault in faults]


def test_each_value_knows_where_it_was_written(tmp_path: Path) -> None:
    root, _ = read_document(_document(tmp_path, "a:\n  - b: {c.d: 1}\n"))
    assert root is not None
    node = root.at(["a", 0, "b", "c.d"])
    assert (node.location.line, node.location.column, node.path) == (2, 14, 'a[0].b["c.d"]')
    assert node.key is not None
    assert (node.key.line, node.key.column) == (2, 9)


def test_keys_are_text_whatever_they_look_like(tmp_path: Path) -> None:
    root, faults = read_document(_document(tmp_path, "1: a\nno: b\n12:30: c\n"))
    assert root is not None
    assert root.plain() == {"1": "a", "no": "b", "12:30": "c"}
    assert faults == ()


def test_quoted_numbers_are_text(tmp_path: Path) -> None:
    root, _ = read_document(_document(tmp_path, "a: \"8.9\"\nb: 'true'\n"))
    assert root is not None
    assert root.plain() == {"a": "8.9", "b": "true"}


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    root, faults = read_document(_document(tmp_path, b"\xef\xbb\xbfa: 1\n"))
    assert root is not None
    assert root.plain() == {"a": 1}
    assert faults == ()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "1:1: : is empty"),
        ("# nothing\n", "1:1: : is empty"),
        ("---\n...\n", "1:1: : is empty"),
        ("\xff".encode("latin-1"), "1:1: : is not UTF-8 text"),
        (b"a: 1\nb: \xc3(\n", "2:4: : is not UTF-8 text"),
        ("a: 1".encode("utf-16"), "1:1: : is UTF-16, not UTF-8"),
        (b"a: 1\nb: \0\n", "2:4: : holds a NUL byte"),
        (b"a: \x07\n", "1:4: : character U+0007 is not allowed"),
        ("a:\n\t- b\n", "2:1: : a tab is used for indentation"),
        ("a: 1\nb: 2\na: 3\n", '3:1: a: "a" is already given in line 1'),
        ("a: &x 1\n", "1:4: a: anchors are not allowed: &x"),
        ("a: *x\n", "1:4: a: aliases are not allowed: *x"),
        ("a: {<<: {b: 1}}\n", "1:5: a: merge keys (`<<`) are not allowed"),
        ("a: !!python/name:os.system x\n", '1:4: a: tags are not allowed: "tag:yaml.org,2002:python/name:os.system"'),
        ("a: !x {b: 1}\n", '1:4: a: tags are not allowed: "!x"'),
        ("? [a]\n: b\n", "1:3: : a key must be text"),
        ("%YAML 1.1\n---\na: no\n", "1:1: : directives are not used here"),
        ("a: 1\n---\nb: 1\n", "2:1: : a second document begins here"),
        ("a: [1, 2\n", "2:1: : not valid YAML: expected ',' or ']', but got '<stream end>'"),
        ("a: b: c\n", "1:5: : not valid YAML: mapping values are not allowed here"),
        ('a: "\\UFFFFFFFF"\n', "1:7: : not valid YAML: a number is out of range"),
        ("a: .inf\n", '1:4: a: ".inf" must be a finite number'),
        ("a: |\n  b\n  c\n", "1:4: a: must be one line of printable text"),
        ('a: "\\u202e"\n', "1:4: a: must be one line of printable text"),
        ('"a\\nb": 1\n', "1:1: : must be one line of printable text"),
    ],
)
def test_a_fault_of_form_is_named_with_its_place(tmp_path: Path, text: str | bytes, fault: str) -> None:
    assert _faults(_document(tmp_path, text)) == [fault]


def test_all_faults_of_form_are_found_at_once(tmp_path: Path) -> None:
    faults = _faults(_document(tmp_path, "a: &x 1\nb: *x\nb: !t 2\n"))
    assert [fault.partition(": ")[0] for fault in faults] == ["1:4", "2:4", "3:4", "3:1"]


def test_nesting_is_allowed_to_the_limit_and_no_further(tmp_path: Path) -> None:
    assert _faults(_document(tmp_path, "[" * MAX_DEPTH + "]" * MAX_DEPTH)) == []
    (fault,) = _faults(_document(tmp_path, "[" * (MAX_DEPTH + 1)))
    assert fault.endswith(f"is nested deeper than {MAX_DEPTH} levels")


def test_a_file_of_the_largest_size_is_read(tmp_path: Path) -> None:
    text = "a: 1\n#"
    assert _faults(_document(tmp_path, text + "x" * (MAX_BYTES - len(text)))) == []


def test_a_larger_file_is_refused_without_being_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _document(tmp_path, "a: 1\n")
    os.truncate(path, 1 << 30)
    monkeypatch.setattr(Path, "open", None)
    assert _faults(path) == ["1:1: : is larger than 256 KiB"]


def test_a_file_of_too_many_values_is_refused(tmp_path: Path) -> None:
    (fault,) = _faults(_document(tmp_path, f"[{'1,' * MAX_NODES}]"))
    assert fault.endswith(f"holds more than {MAX_NODES} values")


@pytest.mark.parametrize("path", ["/dev/zero", "/"])
def test_what_is_no_regular_file_is_refused(path: str) -> None:
    assert _faults(Path(path)) == ["1:1: : is not a regular file"]


def test_a_named_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert _faults(tmp_path / "pipe") == ["1:1: : is not a regular file"]


def test_a_missing_file_is_named_with_the_nearest_one(tmp_path: Path) -> None:
    _document(tmp_path, "a: 1\n")
    (tmp_path / "m.y").mkdir()
    _, (fault,) = read_document(tmp_path / "m.yml")
    assert (fault.what, fault.fix) == (f"there is no such file in {tmp_path}", "did you mean 'm.yaml'?")


def test_a_path_that_no_file_can_have_is_a_fault(tmp_path: Path) -> None:
    (fault,) = _faults(tmp_path / ("x" * 300))
    assert fault == "1:1: : cannot be read: File name too long"


def test_T7_an_alias_bomb_is_refused_at_once(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x]"]
    lines += [f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 4000)]
    path = _document(tmp_path, "\n".join(lines)[:MAX_BYTES])
    start = time.process_time()
    assert len(_faults(path)) == MAX_FAULTS
    assert time.process_time() - start < 0.1
