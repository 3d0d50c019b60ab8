"""The command that does one job of a report again, in the container image that did it."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from pipeline.publish.escape import one_line
from pipeline.targets import TENSORRT

if TYPE_CHECKING:
    from pipeline.publish.details import Details
    from pipeline.publish.job_report import JobReport
    from pipeline.publish.report import Report

COMMAND_CHARS = 20_000
"""Room for any command: one that is cut does something else, or nothing."""
_IMAGE = "trt-engines"
"""The image's name in the documentation, where nobody says which it was."""
_SPECIAL = re.compile(r"[*?\[]")
_REVISION = re.compile(r"[0-9A-Za-z][0-9A-Za-z._/-]{0,250}")
_REFERENCE = re.compile(r"[0-9A-Za-z][0-9A-Za-z._/:@-]{0,500}")
"""An image as ``docker run`` takes it. Whatever begins with a dash would be an option."""


def command_from_job(job: JobReport, report: Report, details: Details) -> str:
    """One printable line for bash in a clone of the repository. Whatever the names hold, it runs nothing else.

    Without a cache, so that the engine is built, checked and timed anew. The commit is fetched first, because that of a
    pull request is a merge that no branch leads to.
    """
    gpus = "--gpus all " if job.runtime == TENSORRT else ""
    only = _SPECIAL.sub(lambda found: f"[{found[0]}]", job.id)
    options = (f"--manifest={report.manifest}", f"--only={only}", "--cache=none", "--out=engines-again")
    image = details.image if _REFERENCE.fullmatch(details.image) else _IMAGE
    again = (
        f'docker run --rm {gpus}--volume "$PWD:/workspace" --workdir /workspace '
        f"{image} run {' '.join(map(_word, options))}"
    )
    commit = details.commit
    return f"git fetch origin {commit} && git checkout {commit} && {again}" if _REVISION.fullmatch(commit) else again


def _word(text: str) -> str:
    """``text`` as one word that stays what it is when a report shows it: what it would change is written as bytes."""
    if one_line(text, COMMAND_CHARS) == text:
        return shlex.quote(text)
    data = text.encode("utf-8", "surrogateescape" if _decodable(text) else "replace")
    return f"$'{''.join(map(_escaped, data))}'"


def _escaped(byte: int) -> str:
    return chr(byte) if byte < 0x80 and chr(byte).isalnum() else f"\\x{byte:02x}"


def _decodable(text: str) -> bool:
    """Whether ``text`` may have been read as bytes of a name; half a character otherwise has no bytes."""
    return not any("\ud800" <= character < "\udc80" or "\udcff" < character <= "\udfff" for character in text)
