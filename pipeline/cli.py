"""The command line. ``main`` prints and returns the exit code; ``main_inner`` raises.

Nothing heavier than argparse is imported before the command is known.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from pipeline import __version__
from pipeline.errors import Cancelled, ManifestError, PipelineError, SettingsError
from pipeline.settings import DEFAULT_CACHE, DEFAULT_MANIFEST, DEFAULT_OUT, FETCH, settings_from_mapping

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pipeline.hosts.job_log import JobLog

FORMATS = ("terminal", "markdown", "html", "json", "code-quality", "metrics")
_EXIT_CODES = """
exit codes: 0 done, 2 settings, 3 manifest, 4 model or data, 5 device, 6 build, 7 accuracy, 8 budget, 9 cache,
10 publishing, 130 cancelled
"""


def main(arguments: Sequence[str], environment: Mapping[str, str], log: JobLog | None = None) -> int:
    """Run one command and return its exit code. No error of ours leaves a traceback.

    ``log`` is what the runner makes of the output, where there is a runner.
    """
    try:
        return main_inner(arguments, environment, log)
    except PipelineError as error:
        if log is not None and isinstance(error, ManifestError):
            from pipeline.hosts.annotations import annotations_from_faults

            log.annotate(annotations_from_faults(error.faults))
        from pipeline.publish.complaint import complaint

        _complain(complaint(error))
        return error.exit_code
    except KeyboardInterrupt:
        _complain("error: cancelled")
        return Cancelled.exit_code
    except BrokenPipeError:
        _forget_stdout()
        return 0


def main_inner(arguments: Sequence[str], environment: Mapping[str, str], log: JobLog | None = None) -> int:
    """Run one command; ``PipelineError`` says what went wrong."""
    options = _parser().parse_args(list(arguments))
    if options.command == "report":
        from pipeline.report_command import run_report

        return run_report(options, environment)
    settings = settings_from_mapping(
        environment,
        manifest=getattr(options, "manifest", None),
        cache=getattr(options, "cache", None),
        out=getattr(options, "out", None),
        only=getattr(options, "only", None),
        require_all=getattr(options, "require_all", False),
        workers=getattr(options, "workers", None),
        cache_scope=getattr(options, "cache_scope", None),
        cache_required=getattr(options, "cache_required", False),
        publish=getattr(options, "publish", False) or options.command == "doctor",
        publish_required=getattr(options, "publish_required", False),
        log=log,
        time_limit_s=getattr(options, "time_limit_s", None),
        job_time_limit_s=getattr(options, "job_time_limit_s", None),
        cache_max_age_days=getattr(options, "cache_max_age_days", None),
        fetch=getattr(options, "fetch", None),
    )
    command: str = options.command
    if command == "calibration":
        from pipeline.calibration_command import run_calibration_diff

        return run_calibration_diff(options)
    if command == "cache":
        from pipeline.cache_commands.dispatch import run_cache_command

        return run_cache_command(settings, options)
    if command == "export":
        from pipeline.export.command import run_export

        return run_export(settings, triton=options.triton, bundle=options.bundle, as_json=options.json)
    if command == "verify":
        from pipeline.verify_command import run_verify

        return run_verify(
            settings, options.engines, sources=options.sources, strict=options.strict, as_json=options.json
        )
    if command == "doctor":
        from pipeline.doctor.examination import run_doctor

        return run_doctor(settings, as_json=options.json)
    cancel = threading.Event()
    with _signals_set(cancel):
        from pipeline import commands

        if command == "inspect":
            from pipeline.inspect_command import run_inspect

            return run_inspect(
                options.engines, cancel, profile=options.profile, plugins=options.plugin, as_json=options.json
            )
        if getattr(options, "matrix", None):
            from pipeline.fan_out.command import plan_matrix

            return plan_matrix(settings, cancel, options.matrix)
        return {"validate": commands.validate, "plan": commands.plan, "run": commands.run}[command](
            settings, cancel, as_json=options.json
        )


def command_options(command: str) -> dict[str, bool]:
    """The options of a command that change what it does: name without dashes -> whether it takes a value."""
    commands: Any = next(action for action in _parser()._actions if isinstance(action.choices, dict))  # noqa: SLF001
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


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="entrypoint.py",
        description="Builds, checks and caches TensorRT engines for the ONNX models of one manifest.",
        epilog=f"example: entrypoint.py run --manifest {DEFAULT_MANIFEST}\n{_EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    for name, text, example in (
        ("validate", "check the manifest, its models and its data; build nothing", ""),
        ("plan", "say what a run would do for each job, and why", " --only 'digits/*/int8'"),
        ("run", "build what is missing, check it, and report", " --cache /mnt/cache --out engines"),
    ):
        command = _command(commands, name, text, f"{name} --manifest {DEFAULT_MANIFEST}{example}")
        _add_run_options(command, name)
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
    _add_calibration(commands)
    _add_report(commands)
    export = _command(commands, "export", "hand delivered engines on", "export --triton models --only '*/*/fp16'")
    export.add_argument("--triton", metavar="FOLDER", help="write or update a Triton model repository")
    export.add_argument("--bundle", metavar="FILE", help="write one tar archive of the engines of one target")
    export.add_argument("--out", metavar="FOLDER", help=f"where the engines are (default {DEFAULT_OUT})")
    export.add_argument("--only", metavar="GLOBS", help="only jobs whose id matches, such as '*/l4/*'")
    export.add_argument("--manifest", metavar="FILE", help="whose folder has the models' licences")
    _add_verify(commands)
    doctor = _command(commands, "doctor", "say what this machine can build, and what is missing", "doctor --json")
    _add_cache_option(doctor)
    return parser


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


def _add_verify(commands: Any) -> None:
    text = "check an engine against its digest, its receipt and its provenance"
    verify = _command(commands, "verify", text, "verify engines/digits/sm_89/int8.engine")
    verify.add_argument("engines", nargs="+", type=Path, metavar="ENGINE", help="an engine, beside which the rest lies")
    _add_cache_option(verify)
    verify.add_argument("--sources", type=Path, metavar="FOLDER", help="the manifest's, to check model and data too")
    verify.add_argument("--strict", action="store_true", help="fail too where something could not be checked")


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
        "--format", choices=FORMATS, default="terminal", help="(default terminal; the last two are for GitLab)"
    )
    command.add_argument("--exit-code", action="store_true", help="end with the exit code of the runs that are shown")
    _add_publish(command)


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


@contextlib.contextmanager
def _signals_set(cancel: threading.Event) -> Iterator[None]:
    """SIGINT and SIGTERM set ``cancel`` while the block runs, so that children are ended and the report written."""
    import signal

    def set_cancel(_number: int, _frame: object) -> None:
        cancel.set()

    before = {number: signal.signal(number, set_cancel) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _complain(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)


def _forget_stdout() -> None:
    """Point stdout at nothing, so that the interpreter's own flush at exit cannot fail."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
