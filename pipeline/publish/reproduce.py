"""The command that does one job of a report again, in the container image that did it."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from pipeline.targets import TENSORRT

if TYPE_CHECKING:
    from pipeline.publish.details import Details
    from pipeline.publish.job_report import JobReport
    from pipeline.publish.report import Report

_IMAGE = "trt-engines"
"""The image's name in the documentation, where nobody says which it was."""
_SPECIAL = re.compile(r"[*?\[]")


def command_from_job(job: JobReport, report: Report, details: Details) -> str:
    """One line for a shell in a checkout of the repository. Whatever the names hold, it runs nothing else.

    Without a cache, so that the engine is built, checked and timed anew.
    """
    gpus = "--gpus all " if job.runtime == TENSORRT else ""
    only = _SPECIAL.sub(lambda found: f"[{found[0]}]", job.id)
    options = (f"--manifest={report.manifest}", f"--only={only}", "--cache=none", "--out=engines-again")
    again = (
        f'docker run --rm {gpus}--volume "$PWD:/workspace" --workdir /workspace '
        f"{shlex.quote(details.image or _IMAGE)} run {shlex.join(options)}"
    )
    return f"git checkout {shlex.quote(details.commit)} && {again}" if details.commit else again
