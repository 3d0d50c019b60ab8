"""``inspect``: what an engine is made of, or what changed between two."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import TYPE_CHECKING, Any

from pipeline.errors import SettingsError
from pipeline.inspection.changes import engine_changes
from pipeline.inspection.layers import LAYERS_SUFFIX, layers_from_json, layers_to_json
from pipeline.inspection.precision_shares import precision_shares
from pipeline.machine.scratch import scratch_folder
from pipeline.publish.escape import one_line
from pipeline.publish.json_output import print_json
from pipeline.publish.layers import CHANGES_HEADER, TABLE_HEADER, change_rows, layer_rows, shares_text
from pipeline.publish.terminal import print_table
from pipeline.record import json_from_record

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pipeline.inspection.layers import EngineLayers

_LARGEST_BYTES = 64 << 20
_TIMEOUT_S = 600.0


def run_inspect(
    engines: Sequence[Path],
    cancel: threading.Event,
    *,
    profile: bool,
    plugins: Sequence[Path] = (),
    as_json: bool,
) -> int:
    """Print the layers of one engine, or the changes from the first to the second of two. Returns 0.

    Each is a ``.layers.json`` as a run writes it, or an engine beside which one lies; any other engine is loaded in a
    child process, which needs its kind of GPU, its TensorRT and the ``plugins`` that it was built with. Raises
    ``SettingsError`` for files that are neither.
    """
    if not 1 <= len(engines) <= 2:
        raise SettingsError(f"{len(engines)} engines were named", fix="name one, or two to compare")
    found = [_layers(path, cancel, profile=profile, plugins=plugins) for path in engines]
    if len(found) == 1:
        _print_engine(found[0], as_json=as_json)
    else:
        _print_changes(found[0], found[1], as_json=as_json)
    return 0


def _print_engine(engine: EngineLayers, *, as_json: bool) -> None:
    shares = precision_shares(engine.layers)
    if as_json:
        print_json({**layers_to_json(engine), "shares": [json_from_record(share) for share in shares]})
        return
    print_table(sys.stdout, TABLE_HEADER, list(layer_rows(engine)))
    print(f"{len(engine.layers)} layers, TensorRT {engine.runtime_version}; {shares_text(shares)}")


def _print_changes(before: EngineLayers, after: EngineLayers, *, as_json: bool) -> None:
    changes = engine_changes(before, after)
    if as_json:
        print_json(
            {
                "changes": [
                    {
                        "what": list(change.words),
                        "before": [layer.name for layer in change.before],
                        "after": [layer.name for layer in change.after],
                        "delta_ms": change.delta_ms,
                    }
                    for change in changes
                ]
            }
        )
        return
    print_table(sys.stdout, CHANGES_HEADER, list(change_rows(changes)))
    timed = before.time_ms is not None and after.time_ms is not None
    times = f"; {before.time_ms:.4f} ms before, {after.time_ms:.4f} ms after" if timed else ""
    print(f"{len(changes)} changes in {len(before.layers)} and {len(after.layers)} layers{times}")


def _layers(path: Path, cancel: threading.Event, *, profile: bool, plugins: Sequence[Path]) -> EngineLayers:
    if not path.is_file():
        raise SettingsError(f"there is no file {path}", fix="name an engine, or the .layers.json beside one")
    beside = path if path.name.endswith(".json") else path.with_suffix(LAYERS_SUFFIX)
    if beside == path or (beside.is_file() and not profile):
        return _layers_from_file(beside)
    return _layers_from_engine(path, cancel, profile=profile, plugins=plugins)


def _layers_from_file(path: Path) -> EngineLayers:
    try:
        with path.open("rb") as file:
            data: Any = json.loads(file.read(_LARGEST_BYTES))
        return layers_from_json(data)
    except (OSError, ValueError, RecursionError) as error:
        raise SettingsError(
            f"{path} holds no layers of an engine", why=str(error)[:300], fix="name a .layers.json that a run wrote"
        ) from error


def _layers_from_engine(path: Path, cancel: threading.Event, *, profile: bool, plugins: Sequence[Path]) -> EngineLayers:
    from pipeline.child.supervisor import run_task

    for plugin in plugins:
        if not plugin.is_file():
            raise SettingsError(f"there is no plugin library {plugin}", fix="correct --plugin")
    with contextlib.ExitStack() as stack:
        gpu = stack.enter_context(_free_gpu(path, cancel))
        scratch = stack.enter_context(scratch_folder())
        folder = scratch / "inspect"
        folder.mkdir()
        outcome = run_task(
            "inspect-engine",
            {
                "engine": str(path.absolute()),
                "plugins": [str(each.absolute()) for each in plugins],
                "profile": profile,
            },
            folder,
            timeout_s=_TIMEOUT_S,
            cancel=cancel,
            log=scratch / "inspect.log",
            gpu=gpu,
        )
        for warning in outcome["warnings"]:
            print(one_line(f"warning: {warning}"), file=sys.stderr)
        return _layers_from_file(folder / outcome["layers"])


@contextlib.contextmanager
def _free_gpu(engine: Path, cancel: threading.Event) -> Iterator[str | None]:
    """CUDA's name of a GPU that nothing else uses meanwhile: a build beside it would choose other tactics.

    Of several products the first is taken, since an engine does not tell its own. ``None`` where there is no GPU.
    """
    from pipeline.machine.devices import installed_gpus
    from pipeline.machine.gpu_lock import GpuPool

    gpus = installed_gpus()
    if not gpus:
        yield None
        return
    alike = [gpu for gpu in gpus if gpu.name == gpus[0].name]
    job = f"inspecting {engine.name}"
    with GpuPool().taken(alike, cancel, job=job, waits_for=lambda held: print(one_line(held), file=sys.stderr)) as gpu:
        yield gpu.cuda_name
