"""What README and docs say is tried: commands run, examples load, links lead somewhere, names are the code's own."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import errors, settings
from pipeline.action import inputs, step
from pipeline.commands.cli import main
from pipeline.errors import PipelineError
from pipeline.hosts import place
from pipeline.manifest.load import load_manifest

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md"), ROOT / "examples/digits/README.md"])


def blocks(language: str) -> list[tuple[Path, str]]:
    found = []
    for page in PAGES:
        found += [
            (page, text)
            for text in re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
        ]
    return found


def entrypoint_commands() -> list[str]:
    lines = [line.split(" #")[0].strip() for _, text in blocks("sh") for line in text.splitlines()]
    return sorted({line for line in lines if "entrypoint.py" in line})


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that git knows, in a folder of their own, with this interpreter's packages as ``.venv``."""
    folder = tmp_path_factory.mktemp("checkout")
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    for name in filter(lambda name: (ROOT / name).is_file(), names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    (folder / ".venv/bin").mkdir(parents=True)
    (folder / ".venv/bin/python").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    (folder / ".venv/bin/python").chmod(0o755)
    shutil.copy2(folder / "requirements.lock", folder / ".venv/requirements.lock.installed")
    return folder


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=240
    )


def test_the_readme_opens_with_the_two_commands() -> None:
    first = re.search(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert first is not None
    assert [line.split()[0] for line in first[1].splitlines()] == ["scripts/quickstart", "scripts/test"]


def test_the_comment_in_the_readme_is_an_excerpt_of_that_of_the_sample() -> None:
    command = [sys.executable, "entrypoint.py", "report", "--from", "examples/report-sample", "--format", "markdown"]
    comment = [line.lstrip("# ") for line in run(ROOT, *command).stdout.splitlines()]
    shown = re.findall(r"^> ?(.*)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    lines = [line.lstrip("# ") for line in shown if line]
    assert len(lines) > 10
    assert [line for line in lines if line not in comment] == []


def test_the_quickstart_builds_nine_engines_and_the_second_one_none(checkout: Path) -> None:
    first, second = run(checkout, "scripts/quickstart"), run(checkout, "scripts/quickstart")
    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    assert "passed: 9 jobs, 9 built" in first.stdout
    assert "passed: 9 jobs, 9 cached" in second.stdout


@pytest.mark.parametrize("command", entrypoint_commands())
def test_a_documented_command_succeeds(command: str, checkout: Path) -> None:
    run(checkout, "scripts/quickstart")
    result = run(checkout, *shlex.split(command))
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in link:
            assert (page.parent / link).exists(), f"{page.name} links to {link}"


def test_example_manifests_load(tmp_path: Path) -> None:
    examples = [text for _, text in blocks("yaml") if text.lstrip("# ").startswith(("version:", "yaml-language"))]
    assert examples
    for number, text in enumerate(examples):
        folder = tmp_path / str(number)
        shutil.copytree(ROOT / "examples/digits", folder)
        (folder / "m.yaml").write_text(text)
        assert load_manifest(folder / "m.yaml").models


def test_the_page_about_the_manifest_is_up_to_date() -> None:
    result = run(ROOT, sys.executable, "scripts/manifest-docs", "--check")
    assert result.returncode == 0, result.stderr


def test_exit_codes_in_the_help_are_those_of_the_errors(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"], {})
    told = capsys.readouterr().out.split("exit codes:")[1]
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, PipelineError)]
    codes = {kind.exit_code for kind in kinds if kind is not PipelineError}
    assert {int(code) for code in re.findall(r"\d+", told)} == codes | {0}


def test_environment_variables_in_the_docs_are_those_that_are_read() -> None:
    code = "".join(Path(str(module.__file__)).read_text() for module in (settings, step, inputs, place))
    read = set(re.findall(r'"((?:TRT_ENGINE|GITHUB)_\w+)"', code))
    told = {name for page in PAGES for name in re.findall(r"\b(?:TRT_ENGINE|GITHUB)_[A-Z_]+\b", page.read_text())}
    assert told == read


def test_no_page_speaks_of_files_that_are_not_there() -> None:
    for page in PAGES:
        for name in re.findall(
            r"`((?:pipeline|scripts|tests|benchmarks|schemas|examples)/[\w./-]+)`", page.read_text()
        ):
            assert (ROOT / name).exists(), f"{page.name} speaks of {name}"
