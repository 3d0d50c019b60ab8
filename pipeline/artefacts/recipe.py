"""What an artefact is, and how one is made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipeline.digest import digest_from_file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pipeline.cache.answers import CacheLookup
    from pipeline.cache.receipt import Blob
    from pipeline.child.children import InTurn
    from pipeline.digest import Digest
    from pipeline.errors import PipelineError
    from pipeline.keys import Key
    from pipeline.machine.devices import GpuDevice


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortcut:
    """A quicker task for the same artefact, from the same sources. What it cannot make is made the long way.

    ``told`` is added to the outcome, to the objects that the task answered under the same names.
    """

    task: str
    stage: str
    request: Callable[[tuple[Artefact, ...]], Mapping[str, Any]]
    told: Mapping[str, Mapping[str, Any]]
    timeout_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondTry:
    """Another request for the same artefact by the same task, within what is left of its time limit.

    ``told`` is added to the outcome, and ``warning`` to its warnings, so that later runs say so too.
    """

    stage: str
    request: Callable[[tuple[Artefact, ...]], Mapping[str, Any]]
    told: Mapping[str, Any]
    warning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How to make one artefact, and what it is called.

    ``sources`` obtains the artefacts that it is made from, and ``request`` makes the task's request of them; both
    are called only when it must be made. ``files`` names the task's output files that belong to the artefact.
    ``faults`` looks at a cached artefact's files and says what is wrong with them. ``unchanged`` says, after the work,
    whether the user's files are still those that the key names. ``gpus`` are those that it may be made on; one of them
    is its own while it is made, and while ``keep`` takes from the task's folder what outlives the run besides. None are
    needed where there are none. What is ``expensive`` is made by one runner of several that share a cache, where they
    miss it at the same moment. What takes many children, one after another on the same GPU, has ``in_turn``: it gets
    the request and a child that does the task once, and gives the outcome.

    ``shortcut`` is asked for when it must be made, and tried first; ``keep`` is not called for what it makes.
    ``second_try`` is told why the task failed, and says whether another request may do better; ``foreseen`` is the
    error of a first try that need not be made, because it failed before. ``also`` are keys that a new artefact is kept
    under besides. ``notes`` go into its receipt. What is not ``stored`` lives as long as the run alone. ``attest``
    states where it comes from (``pipeline.provenance.statement``), given its files, its outcome and the seconds that it
    took.
    """

    key: Key
    subject: str
    task: str
    stage: str
    request: Callable[[tuple[Artefact, ...]], Mapping[str, Any]]
    sources: Callable[[], tuple[Artefact, ...]] = lambda: ()
    files: Callable[[Mapping[str, Any]], tuple[str, ...]] = lambda outcome: ()  # noqa: ARG005
    faults: Callable[[Mapping[str, Path], Mapping[str, Any]], tuple[str, ...]] = lambda files, outcome: ()  # noqa: ARG005
    unchanged: Callable[[], bool] = lambda: True
    keep: Callable[[Path, GpuDevice], None] = lambda folder, gpu: None  # noqa: ARG005
    timeout_s: float = 3600.0
    memory_bytes: int = 1 << 30
    gpus: tuple[GpuDevice, ...] = ()
    expensive: bool = False
    in_turn: InTurn | None = None
    shortcut: Callable[[], Shortcut | None] = lambda: None
    second_try: Callable[[PipelineError], SecondTry | None] = lambda error: None  # noqa: ARG005
    foreseen: Callable[[], PipelineError | None] = lambda: None
    also: Callable[[Mapping[str, Any]], tuple[Key, ...]] = lambda outcome: ()  # noqa: ARG005
    notes: Mapping[str, Any] = field(default_factory=dict)
    stored: bool = True
    attest: Callable[[Mapping[str, Path], Mapping[str, Any], float], bytes] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Artefact:
    """An artefact on this machine. ``outcome`` is what its task answered; ``warnings`` in it include its sources'.

    ``files`` lie in a private folder that lives as long as the run. ``blobs`` describes the same files, also where
    they were left in the cache and ``files`` is empty.

    ``lookup`` is what the cache said first; ``cached`` is false also where a hit turned out to be damaged.
    ``made_in_s`` is how long making it took, now or when it was made.
    """

    key: Key
    files: Mapping[str, Path]
    outcome: Mapping[str, Any]
    cached: bool
    lookup: CacheLookup
    made_in_s: float
    warnings: tuple[str, ...] = field(default=())
    blobs: Mapping[str, Blob] = field(default_factory=dict)

    def digest(self, name: str) -> Digest:
        """The digest of its file ``name``."""
        return self.blobs[name].digest if name in self.blobs else digest_from_file(self.files[name])


def faults_of_outcome(outcome: object) -> tuple[str, ...]:
    """What is wrong with an answer, whatever its task: that of a child gone wrong or of a planted entry is anything."""
    if not isinstance(outcome, dict):
        return ("its outcome is no object",)
    warnings = outcome.get("warnings", [])
    sound = isinstance(warnings, list) and all(isinstance(each, str) for each in warnings)
    return () if sound else ("its `warnings` are no list of texts",)
