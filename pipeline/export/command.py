"""``export``: hands delivered engines on, without TensorRT or a GPU."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import SettingsError
from pipeline.export.bundle import export_bundle
from pipeline.export.engines import delivered_engines
from pipeline.export.triton import export_triton
from pipeline.publish.json_output import print_json

if TYPE_CHECKING:
    from pipeline.settings import Settings


def run_export(settings: Settings, *, triton: str | None, bundle: str | None, as_json: bool) -> int:
    """Write what is asked for and print where it is."""
    if not (triton or bundle):
        raise SettingsError("nothing to export to", fix="give --triton FOLDER or --bundle FILE, or both")
    engines = delivered_engines(settings.out, settings.only)
    written: list[str] = []
    if triton:
        written += map(str, export_triton(engines, Path(triton)))
    if bundle:
        export_bundle(engines, Path(bundle), licences_from=settings.manifest.absolute().parent)
        written.append(bundle)
    if as_json:
        print_json({"written": written})
    else:
        print("\n".join(written))
    return 0
