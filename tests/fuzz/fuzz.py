"""Coverage-guided fuzzing of one target: ``python -m tests.fuzz.fuzz TARGET SECONDS [FOLDER]``.

Begins with the kept inputs of ``tests/fuzz/corpus/TARGET`` and with those of FOLDER, where new ones are put. Ends with
0 after SECONDS, or with another code at the first input that breaks a promise; FOLDER has it as ``broken-*``.
"""

from __future__ import annotations

import random
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import atheris

if TYPE_CHECKING:
    from collections.abc import Callable

CORPUS = Path(__file__).with_name("corpus")
MAX_BYTES = 16 << 10
TIMEOUT_S = 20
"""For one input, with every branch counted; none may take a tenth of it without."""


def fuzz(name: str, target: Callable[[bytes], None], seconds: int, folder: Path) -> None:
    """Give ``target`` ever new inputs for ``seconds``, and leave the process."""
    from tests.fuzz.mutations import mutated_json, mutated_lines

    mutated = mutated_lines if name == "manifest" else mutated_json
    kept = [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]

    def mutator(data: bytes, max_size: int, seed: int) -> bytes:
        def mutate(part: bytes) -> bytes:
            return bytes(atheris.Mutate(part, len(part) + 64))

        chance = random.Random(seed)
        # Short input that is not even parsed crowds out what is longer, so one change in eight begins anew.
        changed = mutated(chance.choice(kept) if chance.random() < 0.125 else data, chance, mutate)
        return changed if len(changed) <= max_size else data

    options = (
        f"-max_total_time={seconds}",
        f"-max_len={MAX_BYTES}",
        "-len_control=0",
        f"-timeout={TIMEOUT_S}",
        "-rss_limit_mb=2048",
        "-verbosity=0",
        "-print_final_stats=1",
        f"-artifact_prefix={folder}/broken-",
    )
    folders = [str(each) for each in (folder, CORPUS / name) if each.is_dir()]
    atheris.Setup([sys.argv[0], *options, *folders], target, custom_mutator=mutator)
    atheris.Fuzz()


def main() -> None:
    """Read the command line."""
    name, seconds = sys.argv[1], int(sys.argv[2])
    with atheris.instrument_imports(include=["pipeline", "yaml"]):
        from tests.fuzz.targets import TARGETS
    folder = Path(sys.argv[3] if len(sys.argv) > 3 else tempfile.mkdtemp(prefix=f"fuzz-{name}-"))
    folder.mkdir(parents=True, exist_ok=True)
    fuzz(name, TARGETS[name], seconds, folder)


if __name__ == "__main__":
    main()
