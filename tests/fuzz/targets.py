"""What must hold for any bytes whatsoever, of each reader of input that others write.

A target takes bytes and returns, or raises: ``BrokenPromise`` for a promise that was not kept, anything else for an
error that nobody handled. The fuzzer and the tests of the kept inputs call the same functions.
"""

from __future__ import annotations

import io
import json
import re
import tempfile
import unicodedata
from functools import lru_cache
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.cache.expiry import Expiry
from pipeline.cache.receipt import ReceiptDamaged, bytes_from_receipt, receipt_from_bytes
from pipeline.digest import Digest, canonical_json, digest_from_json
from pipeline.errors import ManifestError, SettingsError
from pipeline.hosts.annotations import annotations_from_report
from pipeline.hosts.gitlab_reports import code_quality_from_annotations, metrics_from_report
from pipeline.keys import key_from_ingredients
from pipeline.manifest.document import MAX_FAULTS
from pipeline.manifest.load import MAX_JOBS, load_manifest
from pipeline.planning.plan import jobs_from_manifest
from pipeline.publish.complaint import complaint
from pipeline.publish.details import details_to_json
from pipeline.publish.figures import duration_text, size_text
from pipeline.publish.html.page import html_from_report
from pipeline.publish.json_output import json_text
from pipeline.publish.markdown import LIMIT_BYTES, markdown_from_report
from pipeline.publish.parts import DETAILS_JSON, REPORT_JSON, merged, read_parts
from pipeline.publish.report import report_to_json
from pipeline.publish.terminal import print_report
from tests.support.rendered_markdown import links, live_parts

if TYPE_CHECKING:
    from collections.abc import Callable

FILES = ("model.onnx", "calibration.npz", "evaluation.npz", "labels.npy", "plugin.so")
_COMMAND = re.compile(r"^\s*::[a-z-]+( [^:]*)?::|##\[", re.IGNORECASE | re.MULTILINE)
_JOB = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._+-]*){2}")
_ACTIVE_TAGS = {"iframe", "img", "object", "embed", "link", "form", "base", "audio", "video"}
_METRIC = re.compile(r'(# (TYPE \w+ gauge|EOF)|\w+\{(\w+="([^"\\\n]|\\.)*",?)+\} -?[0-9.e+-]+|)')


class BrokenPromise(Exception):  # noqa: N818 - a finding, named as such
    """What was read or written is not as it must be."""


def manifest(data: bytes) -> None:
    """A manifest is read, or each of its faults is one line at a place of the file."""
    path = _folder() / "trt-engines.yaml"
    path.write_bytes(data)
    try:
        loaded = load_manifest(path)
    except ManifestError as error:
        lines = (
            data.count(b"\n")
            + data.count(b"\r")
            + len(re.findall("[\u0085\u2028\u2029]", data.decode(errors="replace")))
        )
        _require(0 < len(error.faults) <= MAX_FAULTS, f"{len(error.faults)} faults")
        for fault in error.faults:
            _require(1 <= fault.line <= lines + 1 and fault.column >= 1, f"a fault at {fault.line}:{fault.column}")
            _require(bool(fault.what and fault.fix), f"a fault without advice: {fault}")
        _require_shown(complaint(error), f"{path}")
        return
    jobs = jobs_from_manifest(loaded)
    ids = [job.id for job in jobs]
    _require(0 < len(ids) <= MAX_JOBS, f"{len(ids)} jobs")
    _require(len({name.casefold() for name in ids}) == len(ids), "two jobs of one id")
    _require(all(_JOB.fullmatch(name) for name in ids), f"an id that is no path: {ids}")
    for model in loaded.models:
        paths = [model.onnx, *model.build.plugins, *([model.accuracy.data] if model.accuracy else [])]
        _require(all(_folder() in each.resolve().parents for each in paths), f"a path outside: {paths}")


def receipt(data: bytes) -> None:
    """Bytes are a receipt exactly where they are what is written for it; so also after their digests are made right."""
    _read_receipt(data, "engine", Digest("sha256", "0" * 64))
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return
    if isinstance(value, dict) and isinstance(value.get("ingredients"), dict):
        _read_sealed(value)


def report(data: bytes) -> None:
    """A folder with a report is shown in every form, or refused; no form has more in it than text and our own marks.

    The bytes are a JSON object of a report's ``report``, ``details`` and ``layers``, or else the report itself.
    """
    folder = _folder()
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = None
    files = value if isinstance(value, dict) and "report" in value else {"report": value}
    for name, key in ((REPORT_JSON, "report"), (DETAILS_JSON, "details"), ("layers.json", "layers")):
        (folder / name).unlink(missing_ok=True)
        if key in files:
            (folder / name).write_bytes(data if files[key] is None else json.dumps(files[key]).encode())
    try:
        parts = read_parts(folder)
    except SettingsError as error:
        _require_shown(complaint(error), "a complaint")
        return
    shown = merged([*parts.reports, *parts.reports])
    stream = io.StringIO()
    print_report(shown, stream, width=100, details=parts.details)
    _require_shown(stream.getvalue(), "the terminal's form")
    markdown = markdown_from_report(shown, details=parts.details)
    _require(len(markdown.encode()) <= LIMIT_BYTES, "the Markdown is too long")
    _require(not links(markdown) and not live_parts(markdown) - set("[]"), f"live Markdown: {live_parts(markdown)}")
    page = html_from_report(shown, parts.details, parts.layers)
    page.encode()
    _require_inert(page)
    for line in metrics_from_report(shown).splitlines():
        _require(_METRIC.fullmatch(line) is not None, f"no metric: {line}")
    json_text(code_quality_from_annotations(annotations_from_report(shown))).encode()
    json_text(report_to_json(shown)).encode()
    json_text(details_to_json(parts.details)).encode()


TARGETS: dict[str, Callable[[bytes], None]] = {"manifest": manifest, "receipt": receipt, "report": report}


def _read_receipt(data: bytes, kind: str, stored_as: Digest) -> bool:
    try:
        read = receipt_from_bytes(data, kind=kind, stored_as=stored_as)
    except ReceiptDamaged as damage:
        _require(damage.reason.isprintable(), f"a reason that is not printable: {damage.reason!r}")
        return False
    _require(bytes_from_receipt(read) == data, "bytes that are not written for what they are read as")
    _require(read.size_bytes >= 0, "a size below nothing")
    Expiry(1.0, lambda: 0.0).fault(read)
    size_text(read.size_bytes)
    duration_text(read.duration_s or 0.0)
    return True


def _read_sealed(value: dict[str, Any]) -> None:
    try:
        key = key_from_ingredients(value["kind"], value["ingredients"])
        fields = {**{name: item for name, item in value.items() if name != "self"}, "key": str(key.digest)}
        data = canonical_json({**fields, "self": str(digest_from_json(fields))})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return
    if _read_receipt(data, key.kind, key.digest):
        _require(not _read_receipt(data, key.kind, Digest("sha256", "0" * 64)), "a receipt under another key")


def _require_shown(text: str, what: str) -> None:
    strange = {character for character in text if unicodedata.category(character) in {"Cc", "Cf", "Cs"}} - {"\n"}
    _require(not strange, f"{what} has {strange}")
    _require(not _COMMAND.search(text), f"{what} commands the runner")


def _require_inert(page: str) -> None:
    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            _require(tag not in _ACTIVE_TAGS, f"a live <{tag}>")
            for name, value in attrs:
                inner = name == "href" and (value or "").startswith("#")
                _require(inner or not (name.startswith("on") or name in {"src", "href"}), f"live {name}={value}")

    Reader().feed(page)
    for tag in ("<script", "<style", "</script", "</style"):
        _require(page.count(tag) == 1, f"{tag} occurs {page.count(tag)} times")


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise BrokenPromise(otherwise)


@lru_cache(maxsize=1)
def _folder() -> Path:
    """A folder in memory, where there is one, which goes with this process."""
    memory = Path("/dev/shm")
    owned = tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None)
    _OWNED.append(owned)
    folder = Path(owned.name)
    for name in FILES:
        (folder / name).touch()
    return folder


_OWNED: list[tempfile.TemporaryDirectory[str]] = []
