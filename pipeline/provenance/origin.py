"""Where a run takes place, as a statement names it."""

from __future__ import annotations

from dataclasses import dataclass

LOCAL_BUILDER = "urn:tensorrt-engine-action:local"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Who builds, from which commit, in which image; what is not known is empty.

    ``builder`` is a URI of whoever answers for the run, such as the workflow of a host. ``repository`` is the address
    that can be cloned, ``ref`` a branch or tag of it, ``commit`` a Git commit. ``invocation`` is the address of the
    run. ``image`` is the name of the container image, with ``@sha256:`` where it is pinned.
    """

    builder: str = LOCAL_BUILDER
    repository: str = ""
    ref: str = ""
    commit: str = ""
    invocation: str = ""
    image: str = ""
