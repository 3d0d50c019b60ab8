"""Which state of a repository a run builds, and what it is held against."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """``repository`` as the host names it, and the commit; both are empty outside of a host's job.

    ``branch`` is the branch whose state this is, empty for a pull request. ``base`` is the branch that it is compared
    with, empty where it is compared with none.
    """

    repository: str = ""
    commit: str = ""
    branch: str = ""
    base: str = ""
