from __future__ import annotations

import json
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.cache.content import ContentCache
from pipeline.cache.local import LocalStore
from pipeline.commands.cli import main
from pipeline.digest import Digest, digest_from_bytes
from pipeline.keys import key_from_ingredients
from pipeline.provenance.statement import PROVENANCE_FILE, bytes_from_statement, material_from_origin
from pipeline.settings import settings_from_mapping
from pipeline.stores import store_from_settings
from tests.support.exports import L4, deliver, sidecar_of
from tests.support.statements import sample_statement

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.keys import Key

SECRET = "0123456789abcdef0123456789abcdef"
STATEMENT = sample_statement()


class Delivered:
    """An engine with sidecar and statement, the cache that it came from, and the model that it was made from."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self.environment = {"TRT_ENGINE_CACHE": str(folder / "cache"), "USER": "ada", **environment}
        ingredients = dict(STATEMENT.key.ingredients)
        sidecar = sidecar_of(L4, key=STATEMENT.key.digest, model_digest=Digest.parse(str(ingredients["model"])))
        deliver(folder / "out", sidecar)
        self.engine = folder / "out/digits/l4/fp16.engine"
        self.sidecar = self.engine.with_suffix(".json")
        self.statement = self.engine.with_suffix(".provenance.json")
        self.statement.write_bytes(bytes_from_statement(STATEMENT))
        (folder / "models").mkdir()
        (folder / "models/digits.onnx").write_bytes(b"model")
        self.keep()

    def keep(self) -> None:
        self.commit(STATEMENT.key, {"engine.plan": self.engine, PROVENANCE_FILE: self.statement})

    def commit(self, key: Key, files: dict[str, Path]) -> None:
        store = store_from_settings(settings_from_mapping(self.environment), threading.Event())
        ContentCache(store).commit(key, STATEMENT.job, files, {})

    def verify(self, capsys: pytest.CaptureFixture[str], *options: str, **environment: str) -> dict[str, Any]:
        """Check name -> (state, detail), and ``code``."""
        code = main(["verify", str(self.engine), "--json", *options], self.environment | environment)
        told = json.loads(capsys.readouterr().out)["engines"][0]["checks"]
        return {"code": code, **{each["name"]: (each["state"], each["detail"]) for each in told}}


@pytest.fixture
def delivered(tmp_path: Path) -> Delivered:
    return Delivered(tmp_path)


def states(found: dict[str, Any]) -> dict[str, str]:
    return {name: value[0] for name, value in found.items() if name != "code"}


def test_an_engine_as_it_was_delivered_passes_and_what_was_not_checked_is_said(
    delivered: Delivered, capsys: pytest.CaptureFixture[str]
) -> None:
    found = delivered.verify(capsys, "--sources", str(delivered.folder))
    assert found["code"] == 0
    assert states(found) == {
        "digest": "passed",
        "receipt": "passed",
        "seal": "not checked",
        "provenance": "passed",
        "provenance's maker": "passed",
        "model models/digits.onnx": "passed",
        "source git+https://example.com/team/models@refs/heads/main": "not checked",
        "image example.com/team/action:1": "not checked",
    }


def test_strict_fails_for_what_could_not_be_checked(delivered: Delivered, capsys: pytest.CaptureFixture[str]) -> None:
    assert delivered.verify(capsys, "--strict")["code"] == 4


def test_a_changed_engine_fails_every_check_that_knows_it(
    delivered: Delivered, capsys: pytest.CaptureFixture[str]
) -> None:
    delivered.engine.write_bytes(b"plon")
    found = delivered.verify(capsys)
    assert found["code"] == 4
    failed = [name for name, state in states(found).items() if state == "failed"]
    assert failed == ["digest", "receipt", "provenance"]


def test_a_sidecar_that_was_changed_with_the_engine_is_found_by_the_receipt(
    delivered: Delivered, capsys: pytest.CaptureFixture[str]
) -> None:
    delivered.engine.write_bytes(b"plon")
    forged = sidecar_of(L4, content=b"plon", key=STATEMENT.key.digest)
    deliver(delivered.folder / "out", forged, b"plon")
    delivered.statement.unlink()
    found = delivered.verify(capsys)
    assert found["code"] == 4
    assert found["digest"][0] == "passed"
    assert found["receipt"] == ("failed", found["receipt"][1])


def test_a_statement_that_was_made_anew_is_found_by_the_receipt(
    delivered: Delivered, capsys: pytest.CaptureFixture[str]
) -> None:
    delivered.statement.write_bytes(bytes_from_statement(sample_statement(builder="https://example.com/other")))
    found = delivered.verify(capsys)
    assert found["code"] == 4
    assert found["provenance's maker"] == ("failed", "it is not the statement that the receipt names")


@pytest.mark.parametrize("data", [b"", b"{}", b"[" * 100_000])
def test_a_statement_that_is_none_fails(data: bytes, delivered: Delivered, capsys: pytest.CaptureFixture[str]) -> None:
    delivered.statement.write_bytes(data)
    found = delivered.verify(capsys)
    assert found["code"] == 4
    assert found["provenance"][0] == "failed"


def test_a_statement_about_another_key_than_the_sidecars_fails(
    delivered: Delivered, capsys: pytest.CaptureFixture[str]
) -> None:
    deliver(delivered.folder / "out", sidecar_of(L4))
    found = delivered.verify(capsys)
    assert found["provenance"][0] == "failed"
    assert "its key is" in found["provenance"][1]


def test_a_model_that_is_another_one_now_fails(delivered: Delivered, capsys: pytest.CaptureFixture[str]) -> None:
    (delivered.folder / "models/digits.onnx").write_bytes(b"other")
    found = delivered.verify(capsys, "--sources", str(delivered.folder))
    assert found["code"] == 4
    assert found["model models/digits.onnx"][0] == "failed"


def test_a_model_that_is_gone_is_not_checked(delivered: Delivered, capsys: pytest.CaptureFixture[str]) -> None:
    found = delivered.verify(capsys, "--sources", str(delivered.folder / "elsewhere"))
    assert (found["code"], found["model models/digits.onnx"][0]) == (0, "not checked")


def test_no_cache_and_nothing_beside_the_engine_are_said(
    delivered: Delivered, capsys: pytest.CaptureFixture[str]
) -> None:
    delivered.sidecar.unlink()
    delivered.statement.unlink()
    found = delivered.verify(capsys)
    assert states(found) == dict.fromkeys(
        ("digest", "receipt", "seal", "provenance", "provenance's maker", "materials"), "not checked"
    )
    assert delivered.verify(capsys, "--strict")["code"] == 4


def test_without_a_cache_the_receipt_is_not_checked(delivered: Delivered, capsys: pytest.CaptureFixture[str]) -> None:
    found = delivered.verify(capsys, "--cache", "none")
    assert found["receipt"] == ("not checked", "there is no cache: name one with --cache")
    empty = delivered.verify(capsys, "--cache", str(delivered.folder / "empty"))
    assert "has no entry" in empty["receipt"][1]


def test_a_plan_of_a_triton_repository_is_checked_by_its_statement(
    delivered: Delivered, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = delivered.folder / "l4.plan"
    delivered.engine.rename(plan)
    delivered.statement.rename(delivered.folder / "l4.provenance.json")
    delivered.engine = plan
    found = delivered.verify(capsys)
    assert (found["code"], found["digest"][0], found["receipt"][0]) == (0, "passed", "passed")


def test_a_receipt_with_the_right_seal_proves_its_maker(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    delivered = Delivered(tmp_path, TRT_ENGINE_CACHE_SECRET=SECRET)
    assert delivered.verify(capsys)["seal"][0] == "passed"


def test_a_receipt_with_another_seal_fails(delivered: Delivered, capsys: pytest.CaptureFixture[str]) -> None:
    found = delivered.verify(capsys, TRT_ENGINE_CACHE_SECRET=SECRET)
    assert found["code"] == 4
    assert found["receipt"] == ("failed", "the receipt is damaged: it bears no seal, so nobody knows who made it")


def test_a_damaged_receipt_fails(delivered: Delivered, capsys: pytest.CaptureFixture[str]) -> None:
    store = LocalStore(delivered.folder / "cache")
    store.put_receipt("engine", STATEMENT.key.digest, b"{}", replace=True)
    found = delivered.verify(capsys)
    assert (found["code"], found["receipt"][0]) == (4, "failed")


def test_a_file_that_is_not_there_is_an_error_of_the_call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(tmp_path / "none.engine")], {}) == 2
    assert "the engine cannot be read" in capsys.readouterr().err


def test_people_read_one_line_for_each_check(delivered: Delivered, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(delivered.engine)], delivered.environment) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == str(delivered.engine)
    assert lines[1].split()[:2] == ["passed", "digest:"]
    assert len(lines) == 9


ORIGIN_KEY = key_from_ingredients("engine", {"model": "the one before"})
REFITTED_FROM = material_from_origin(ORIGIN_KEY.digest, digest_from_bytes(b"the engine before"))
REFITTED_NAME = f"refitted-engine urn:tensorrt-engine-action:engine:{ORIGIN_KEY.digest}"


@pytest.fixture
def refitted(delivered: Delivered) -> Delivered:
    """An engine whose statement and sidecar name the one that it was refitted from; that is not in the cache."""
    statement = replace(STATEMENT, materials=(*STATEMENT.materials, REFITTED_FROM))
    delivered.statement.write_bytes(bytes_from_statement(statement))
    name_beside(delivered, ORIGIN_KEY.digest)
    return delivered


def name_beside(delivered: Delivered, origin: Digest | None) -> None:
    beside = json.loads(delivered.sidecar.read_text())
    delivered.sidecar.write_text(json.dumps(beside | {"refitted_from": None if origin is None else str(origin)}))


def keep_origin(refitted: Delivered, content: bytes) -> None:
    path = refitted.folder / "before.plan"
    path.write_bytes(content)
    refitted.commit(ORIGIN_KEY, {"engine.plan": path})


def test_the_engine_that_it_was_refitted_from_is_looked_up_in_the_cache(
    refitted: Delivered, capsys: pytest.CaptureFixture[str]
) -> None:
    keep_origin(refitted, b"the engine before")
    found = refitted.verify(capsys)
    assert found[REFITTED_NAME][0] == "passed"
    assert "is the engine that it was refitted from" in found[REFITTED_NAME][1]
    assert found["provenance"][1].startswith("refitted by https://example.com/")


def test_an_origin_that_is_gone_or_was_built_again_is_not_checked(
    refitted: Delivered, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = refitted.verify(capsys)[REFITTED_NAME]
    assert (gone[0], "has no entry" in gone[1]) == ("not checked", True)
    keep_origin(refitted, b"another build")
    other = refitted.verify(capsys)[REFITTED_NAME]
    assert (other[0], "holds another engine" in other[1]) == ("not checked", True)


def test_an_origin_whose_receipt_is_damaged_is_not_checked(
    refitted: Delivered, capsys: pytest.CaptureFixture[str]
) -> None:
    store = LocalStore(refitted.folder / "cache")
    store.put_receipt("engine", ORIGIN_KEY.digest, b"{}", replace=True)
    assert refitted.verify(capsys)[REFITTED_NAME][0] == "not checked"


@pytest.mark.parametrize("beside", [None, digest_from_bytes(b"some other key")])
def test_a_sidecar_that_names_another_origin_fails(
    beside: Digest | None, refitted: Delivered, capsys: pytest.CaptureFixture[str]
) -> None:
    keep_origin(refitted, b"the engine before")
    name_beside(refitted, beside)
    found = refitted.verify(capsys)
    assert (found["code"], found[REFITTED_NAME][0]) == (4, "failed")


def test_an_origin_without_a_key_fails(refitted: Delivered, capsys: pytest.CaptureFixture[str]) -> None:
    nameless = replace(REFITTED_FROM, name="urn:tensorrt-engine-action:engine:none")
    refitted.statement.write_bytes(bytes_from_statement(replace(STATEMENT, materials=(*STATEMENT.materials, nameless))))
    found = refitted.verify(capsys)
    assert found["refitted-engine urn:tensorrt-engine-action:engine:none"][0] == "failed"


def test_a_sidecar_with_an_origin_that_the_statement_is_silent_about_is_not_checked(
    delivered: Delivered, capsys: pytest.CaptureFixture[str]
) -> None:
    name_beside(delivered, ORIGIN_KEY.digest)
    found = delivered.verify(capsys)
    assert (found["code"], found["refitted-engine"][0]) == (0, "not checked")
