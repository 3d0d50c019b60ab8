"""The template of the page, compiled once and kept beside Python's own bytecode.

Compiling it takes longer than all else that a run does whose engines are all cached.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemBytecodeCache, FileSystemLoader, StrictUndefined

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jinja2 import Template
    from jinja2.bccache import Bucket

_FOLDER = Path(__file__).parent


class _KeptBytecode(FileSystemBytecodeCache):
    """Writes nothing where Python would not, and goes without where the folder cannot be written."""

    def load_bytecode(self, bucket: Bucket) -> None:
        with contextlib.suppress(OSError):
            super().load_bytecode(bucket)

    def dump_bytecode(self, bucket: Bucket) -> None:
        if not sys.dont_write_bytecode:
            with contextlib.suppress(OSError):
                Path(self.directory).mkdir(exist_ok=True)
                super().dump_bytecode(bucket)


def page_template(filters: Mapping[str, Callable[..., object]]) -> Template:
    """``report.html.jinja`` with everything escaped that is put into it, and no name that may be missing."""
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        bytecode_cache=_KeptBytecode(str(_FOLDER / "__pycache__"), "%s.jinja.cache"),
        autoescape=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters
    return environment.get_template("report.html.jinja")
