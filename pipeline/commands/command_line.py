"""The commands and their options, and what ``--help`` says of them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NoReturn

from pipeline import __version__
from pipeline.errors import SettingsError
from pipeline.settings import DEFAULT_CACHE, DEFAULT_MANIFEST, DEFAULT_OUT, FETCH

_FORMATS = ("terminal", "markdown", "html", "json", "code-quality", "metrics")
_EXIT_CODES = """
exit codes: 0 done, 2 settings, 3 manifest, 4 model or data, 5 device, 6 build, 7 accuracy, 8 budget, 9 cache,
10 publishing, 130 cancelled
"""


def parser() -> argparse.ArgumentParser:
    """What reads a command line. A wrong one raises ``SettingsError``; ``--help`` and ``--version`` end the process."""
    top = _Parser(
        prog="entrypoint.py",
        description="Builds, checks and caches TensorRT engines for the ONNX models of one manifest.",
        epilog=f"example: entrypoint.py run --manifest {DEFAULT_MANIFEST}\n{_EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    _add_runs(commands)
    _add_cache(commands)
    _add_inspect(commands)
    _add_calibration(commands)
    _add_report(commands)
    _add_export(commands)
    _add_verify(commands)
    _add_doctor(commands)
    return top


def command_options(command: str) -> dict[str, bool]:
    """The options of a command that change what it does: name without dashes -> whether it takes a value."""
    commands: Any = next(action for action in parser()._actions if isinstance(action.choices, dict))  # noqa: SLF001
    actions = commands.choices[command]._actions  # noqa: SLF001  argparse has no other way to list them
    return {
        action.option_strings[-1].removeprefix("--"): action.nargs != 0
        for action in actions
        if action.dest not in {"help", "json"}
    }


class _Parser(argparse.ArgumentParser):
    """Reports a wrong command line as ``SettingsError`` instead of leaving the process."""

    def error(self, message: str) -> NoReturn:
        raise SettingsError(message, fix=f"see `{self.prog} --help`")


def _command(commands: Any, name: str, text: str, example: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        epilog=f"example: entrypoint.py {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if name not in ("cache", "calibration", "report"):
        command.add_argument("--json", action="store_true", help="print JSON for a program to read")
    return command


def _add_runs(commands: Any) -> None:
    """The commands that read a manifest and follow it, one further than the other."""
    for name, text, example in (
        ("validate", "check the manifest, its models and its data; build nothing", ""),
        ("plan", "say what a run would do for each job, and why", " --only 'digits/*/int8'"),
        ("run", "build what is missing, check it, and report", " --cache /mnt/cache --out engines"),
    ):
        command = _command(commands, name, text, f"{name} --manifest {DEFAULT_MANIFEST}{example}")
        _add_run_options(command, name)


def _add_cache(commands: Any) -> None:
    cache = _command(commands, "cache", "look after the cache", "cache list --cache .trt-cache")
    actions = cache.add_subparsers(dest="action", required=True, metavar="ACTION", parser_class=_Parser)
    for name, text, example in (
        ("list", "every entry: kind, what for, size, age", ""),
        ("stats", "what it holds and saves, kind by kind, and what lies in it without use", ""),
        ("explain", "what an entry was made from, or what changed between two", " 3f2a9c 81d04e"),
        ("verify", "read every entry and say which are damaged", ""),
        ("prune", "remove what is old, too much or unreachable; a dry run unless --yes", " --older-than-days 30 --yes"),
    ):
        action = _command(actions, name, text, f"cache {name} --cache .trt-cache{example}")
        _add_cache_option(action)
        if name == "explain":
            action.add_argument("keys", nargs="+", metavar="KEY", help="a key, or its first digits, at least 6; or two")
        if name == "prune":
            action.add_argument("--older-than-days", type=float, metavar="N", help="remove entries unused for so long")
            action.add_argument("--keep-mib", type=float, metavar="N", help="then the oldest until so much is left")
            action.add_argument(
                "--damaged", action="store_true", help="also what is damaged: reads every byte, as verify"
            )
            action.add_argument("--yes", action="store_true", help="really remove; without it only say what would go")


def _add_inspect(commands: Any) -> None:
    inspect = _command(
        commands,
        "inspect",
        "say what an engine is made of, or what changed between two",
        "inspect engines/digits/h200/int8.engine",
    )
    inspect.add_argument("engines", nargs="+", type=Path, metavar="ENGINE", help="an engine, or its .layers.json")
    inspect.add_argument("--profile", action="store_true", help="load the engine and time its layers anew")
    inspect.add_argument(
        "--plugin",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="a plugin library that it needs; repeat",
    )


def _add_calibration(commands: Any) -> None:
    tables = "before.table after.table"
    calibration = _command(commands, "calibration", "look at calibration tables", f"calibration diff {tables}")
    actions = calibration.add_subparsers(dest="action", required=True, metavar="ACTION", parser_class=_Parser)
    diff = _command(actions, "diff", "say which INT8 ranges moved, and how far", f"calibration diff {tables}")
    diff.add_argument("before", metavar="TABLE", help="a table in TensorRT's text form")
    diff.add_argument("after", metavar="TABLE", help="the table to compare with it")
    which = diff.add_mutually_exclusive_group()
    which.add_argument("--most", type=int, default=20, metavar="N", help="show so many tensors (default 20)")
    which.add_argument("--all", action="store_true", help="show every tensor")


def _add_report(commands: Any) -> None:
    """The command that shows reports again; it takes no setting of a run."""
    text = "show again what runs have written, in any form"
    command = _command(commands, "report", text, "report --from engines --format html > report.html")
    command.add_argument(
        "--from",
        dest="source",
        metavar="FOLDER",
        required=True,
        help="where report.json is, or some in folders below",
    )
    command.add_argument(
        "--format", choices=_FORMATS, default="terminal", help="(default terminal; the last two are for GitLab)"
    )
    command.add_argument("--exit-code", action="store_true", help="end with the exit code of the runs that are shown")
    _add_publish(command)


def _add_export(commands: Any) -> None:
    export = _command(commands, "export", "hand delivered engines on", "export --triton models --only '*/*/fp16'")
    export.add_argument("--triton", metavar="FOLDER", help="write or update a Triton model repository")
    export.add_argument("--bundle", metavar="FILE", help="write one tar archive of the engines of one target")
    export.add_argument("--out", metavar="FOLDER", help=f"where the engines are (default {DEFAULT_OUT})")
    export.add_argument("--only", metavar="GLOBS", help="only jobs whose id matches, such as '*/l4/*'")
    export.add_argument("--manifest", metavar="FILE", help="whose folder has the models' licences")


def _add_verify(commands: Any) -> None:
    text = "check an engine against its digest, its receipt and its provenance"
    verify = _command(commands, "verify", text, "verify engines/digits/sm_89/int8.engine")
    verify.add_argument("engines", nargs="+", type=Path, metavar="ENGINE", help="an engine, beside which the rest lies")
    _add_cache_option(verify)
    verify.add_argument("--sources", type=Path, metavar="FOLDER", help="the manifest's, to check model and data too")
    verify.add_argument("--strict", action="store_true", help="fail too where something could not be checked")


def _add_doctor(commands: Any) -> None:
    doctor = _command(commands, "doctor", "say what this machine can build, and what is missing", "doctor --json")
    _add_cache_option(doctor)


def _add_publish(command: argparse.ArgumentParser) -> None:
    command.add_argument("--publish", action="store_true", help="keep the comment on the pull or merge request")
    command.add_argument("--publish-required", action="store_true", help="the same, and fail with 10 where it fails")


def _add_cache_option(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--cache",
        metavar="PLACE",
        help=f"FOLDER, s3://bucket/prefix, FOLDER,s3://bucket/prefix for both, or `none` (default {DEFAULT_CACHE})",
    )
    command.add_argument(
        "--cache-scope",
        metavar="SCOPE",
        help="trusted, pr/REPOSITORY-ID/NUMBER or local/USER (GitHub's event decides)",
    )


def _add_run_options(command: argparse.ArgumentParser, name: str) -> None:
    command.add_argument("--manifest", metavar="FILE", help=f"manifest (default {DEFAULT_MANIFEST})")
    _add_cache_option(command)
    command.add_argument(
        "--cache-max-age-days", metavar="N", help="make anew what is older than so many days (default: nothing is)"
    )
    command.add_argument("--only", metavar="GLOBS", help="only jobs whose id matches, such as 'digits/sm_89/*,*/fp16'")
    if name == "run":
        command.add_argument("--out", metavar="FOLDER", help=f"where engines and reports go (default {DEFAULT_OUT})")
        command.add_argument("--workers", type=int, metavar="N", help="children at work at once (default: all cores)")
        command.add_argument(
            "--fetch", choices=FETCH, help="`none` leaves engines that need nothing done in the cache (default engines)"
        )
        command.add_argument("--cache-required", action="store_true", help="fail with 9 where the cache fails")
        _add_publish(command)
        command.add_argument(
            "--time-limit-s", type=float, metavar="N", help="end the run then, and report what is done"
        )
        command.add_argument("--job-time-limit-s", type=float, metavar="N", help="what the tasks of one job may take")
    if name == "plan":
        command.add_argument(
            "--matrix",
            choices=("github", "gitlab"),
            help="print the jobs that runners must build, as a matrix or a child pipeline; deliver what is cached",
        )
        command.add_argument("--out", metavar="FOLDER", help=f"for what --matrix delivers (default {DEFAULT_OUT})")
    if name != "validate":
        command.add_argument("--require-all", action="store_true", help="fail when a job needs another machine")
