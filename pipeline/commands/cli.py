"""The command line. ``main`` prints and returns the exit code; ``main_inner`` raises.

Nothing heavier than argparse is imported before the command is known.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from typing import TYPE_CHECKING

from pipeline.commands.command_line import parser
from pipeline.commands.signals import signals_set
from pipeline.errors import Cancelled, ManifestError, PipelineError
from pipeline.settings import settings_from_mapping

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from pipeline.hosts.job_log import JobLog
    from pipeline.settings import Settings


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
    options = parser().parse_args(list(arguments))
    if options.command == "report":
        from pipeline.commands.report import run_report

        return run_report(options, environment)
    return _run(options, _settings(options, environment, log))


def _settings(options: argparse.Namespace, environment: Mapping[str, str], log: JobLog | None) -> Settings:
    """What was given on the command line, for the options that the command has, over what the environment says."""
    return settings_from_mapping(
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


def _run(options: argparse.Namespace, settings: Settings) -> int:
    command: str = options.command
    if command == "calibration":
        from pipeline.commands.calibration import run_calibration_diff

        return run_calibration_diff(options)
    if command == "cache":
        from pipeline.cache_commands.dispatch import run_cache_command

        return run_cache_command(settings, options)
    if command == "export":
        from pipeline.export.command import run_export

        return run_export(settings, triton=options.triton, bundle=options.bundle, as_json=options.json)
    if command == "verify":
        from pipeline.commands.verify import run_verify

        return run_verify(
            settings, options.engines, sources=options.sources, strict=options.strict, as_json=options.json
        )
    if command == "doctor":
        from pipeline.doctor.examination import run_doctor

        return run_doctor(settings, as_json=options.json)
    cancel = threading.Event()
    with signals_set(cancel):
        from pipeline.commands import main_job

        if command == "inspect":
            from pipeline.commands.inspect import run_inspect

            return run_inspect(
                options.engines, cancel, profile=options.profile, plugins=options.plugin, as_json=options.json
            )
        if getattr(options, "matrix", None):
            from pipeline.fan_out.command import plan_matrix

            return plan_matrix(settings, cancel, options.matrix)
        return {"validate": main_job.validate, "plan": main_job.plan, "run": main_job.run}[command](
            settings, cancel, as_json=options.json
        )


def _complain(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)


def _forget_stdout() -> None:
    """Point stdout at nothing, so that the interpreter's own flush at exit cannot fail."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
