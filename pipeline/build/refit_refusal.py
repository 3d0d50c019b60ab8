"""Which failures of a build with REFIT are worth a build without it. Pure text, no native package.

TensorRT has fewer kernels for weights that may change: 8.6 is known to find none for parts of transformers that it
builds well without REFIT (https://github.com/NVIDIA/TensorRT/issues/2929).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pipeline.build.diagnosis import decisive_errors
from pipeline.build.refit_outcome import NO_REASON, NotRefittableError
from pipeline.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.build.diagnosis import Diagnosis

_OF_REFIT = re.compile(r"Could not find any implementation for node|refit", re.IGNORECASE)
_OF_MEMORY = re.compile(r"out\s?of\s?memory|bad_alloc|resizePhysical|workspace|\binsufficient", re.IGNORECASE)
_LINE_CHARACTERS = 300


def failed_build(errors: Iterable[str], diagnosis: Diagnosis, *, refit: bool) -> BuildError:
    """The error of a builder that returned no engine. ``errors`` is what it logged while it built.

    It is a ``NotRefittableError`` where ``refit`` was asked for and a build without it may help: no kernel was found,
    an error names refitting, or none was logged. Whatever else the builder says would be said again, and what wants
    memory must not be tried twice. A child that crashes or runs out of time never comes here, so neither counts.
    """
    if not refit:
        return BuildError("TensorRT could not build the engine", why=diagnosis.why, fix=diagnosis.fix)
    said = decisive_errors(errors)
    suspects = [line for line in said if _OF_REFIT.search(line)]
    if any(map(_OF_MEMORY.search, said)) or (said and not suspects):
        return BuildError("TensorRT could not build the engine", why=diagnosis.why, fix=diagnosis.fix)
    line = suspects[0] if suspects else NO_REASON
    return NotRefittableError(
        "TensorRT could not build an engine whose weights can be replaced",
        why=line if len(line) <= _LINE_CHARACTERS else f"{line[:_LINE_CHARACTERS]}...",
        fix="use `refit: auto` without `strip_weights`, which builds it without REFIT where that helps",
    )
