from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.cache.s3_opening import place_from_text
from pipeline.errors import SettingsError
from pipeline.given_paths import folder_from_text, path_from_text
from pipeline.settings import settings_from_mapping

LATIN_1 = os.fsdecode(b"mod\xe8le")
"""A name that another system wrote; also what a UTF-8 name looks like where the locale is not UTF-8."""


def test_a_path_stays_as_it_was_given() -> None:
    assert path_from_text("models/é.yaml", "--manifest") == Path("models/é.yaml")


def test_a_folder_is_absolute_and_need_not_be_there(tmp_path: Path) -> None:
    assert folder_from_text("nowhere", "--out") == Path("nowhere").absolute()
    assert folder_from_text(str(tmp_path), "--out") == tmp_path


@pytest.mark.parametrize("given", [{"manifest": LATIN_1}, {"out": LATIN_1}, {"cache": LATIN_1}])
def test_a_path_that_is_not_utf_8_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=r"\\udce8.*is not UTF-8"):
        settings_from_mapping({}, **given)  # type: ignore[arg-type]


def test_so_is_a_working_folder_whose_path_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / LATIN_1).mkdir()
    monkeypatch.chdir(tmp_path / LATIN_1)
    with pytest.raises(SettingsError, match="is not UTF-8"):
        settings_from_mapping({})


def test_a_working_folder_that_was_removed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(SettingsError, match="the working folder is not there"):
        settings_from_mapping({})


def test_a_file_where_the_output_folder_is_wanted_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"--out .*/file is no folder"):
        settings_from_mapping({}, out=str(tmp_path / "file"))


def test_a_file_for_the_cache_is_left_to_the_cache_whose_failures_end_no_run(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cache = settings_from_mapping({}, cache=str(tmp_path / "file")).cache
    assert cache is not None
    assert cache.folder == tmp_path / "file"


@pytest.mark.parametrize("text", ["s3:/bucket/prefix", "s3:bucket", "S3:/bucket", "/mnt/cache,s3:/bucket"])
def test_an_address_in_s3_that_lacks_a_slash_is_no_folder(text: str) -> None:
    with pytest.raises(SettingsError, match="s3://bucket/prefix"):
        place_from_text(text)
