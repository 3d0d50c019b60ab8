"""What one run was asked to do.

Only this, ``pipeline.hosts.place`` and ``pipeline.action.step`` know the names of environment variables.
"""

from __future__ import annotations

import os
import re
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import SettingsError
from pipeline.given_paths import folder_from_text, manifest_from_text
from pipeline.hosts.job_log import JobLog
from pipeline.paths import link_on_the_way
from pipeline.provenance.origin import LOCAL_BUILDER, Origin
from pipeline.revision import Revision

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.cache.s3_opening import CachePlace
    from pipeline.hosts.publishing import Publishing

DEFAULT_MANIFEST = "trt-engines.yaml"
DEFAULT_CACHE = ".trt-cache"
DEFAULT_OUT = "engines"
FETCH = ("engines", "none")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that comes from outside the manifest. ``workers`` bounds the child processes at work at once.

    ``cache_scope`` is the path of the scope that a shared cache is used in (``pipeline.cache.scope``). Receipts are
    sealed with ``cache_secret`` or by the KMS key ``cache_kms_key``, where either is given. What is older than
    ``cache_max_age_days`` is made anew; ``None`` keeps it for ever. Without ``fetch_engines`` the engines of jobs that
    are wholly cached stay in the cache. ``image`` is the container image that this runs in, empty where nobody says.
    ``origin`` is where the run takes place, for what is said of the engines that it builds. A time limit that is
    ``None`` limits nothing.
    """

    manifest: Path
    cache: CachePlace | None
    cache_scope: str
    cache_required: bool
    cache_max_age_days: float | None
    fetch_engines: bool
    cache_secret: str | None = field(repr=False)
    cache_kms_key: str | None
    out: Path
    only: str
    require_all: bool
    workers: int
    step_summary: Path | None
    step_outputs: Path | None
    revision: Revision = field(default_factory=Revision)
    image: str = ""
    publishing: Publishing | None = None
    log: JobLog = field(default_factory=JobLog)
    time_limit_s: float | None = None
    job_time_limit_s: float | None = None
    origin: Origin = field(default_factory=Origin)


def settings_from_mapping(
    environment: Mapping[str, str],
    *,
    manifest: str | None = None,
    cache: str | None = None,
    out: str | None = None,
    only: str | None = None,
    require_all: bool = False,
    workers: int | None = None,
    cache_scope: str | None = None,
    cache_required: bool = False,
    publish: bool = False,
    publish_required: bool = False,
    log: JobLog | None = None,
    time_limit_s: float | None = None,
    job_time_limit_s: float | None = None,
    cache_max_age_days: str | None = None,
    fetch: str | None = None,
) -> Settings:
    """Settings from the command line's values over the environment's over the defaults.

    ``cache`` may be ``none``, which switches the cache off; ``publish_required`` publishes too. Raises
    ``SettingsError``.
    """
    from pipeline.cache.s3_opening import place_from_text

    cache_text = cache or environment.get("TRT_ENGINE_CACHE") or DEFAULT_CACHE
    cores = workers if workers is not None else _workers_from(environment.get("TRT_ENGINE_WORKERS"))
    if cores < 1:
        raise SettingsError(f"{cores} workers cannot do anything", fix="give --workers 1 or more")
    for name, limit_s in (("--time-limit-s", time_limit_s), ("--job-time-limit-s", job_time_limit_s)):
        if limit_s is not None and not 0 < limit_s < threading.TIMEOUT_MAX:
            raise SettingsError(f"{limit_s:g} s are no time limit", fix=f"give {name} a number of seconds above 0")
    secret, kms_key = environment.get("TRT_ENGINE_CACHE_SECRET"), environment.get("TRT_ENGINE_CACHE_KMS_KEY")
    if secret and kms_key:
        raise SettingsError(
            "TRT_ENGINE_CACHE_SECRET and TRT_ENGINE_CACHE_KMS_KEY are both set", fix="seal the cache with one of them"
        )
    summary, outputs = environment.get("GITHUB_STEP_SUMMARY"), environment.get("GITHUB_OUTPUT")
    place = None if cache_text == "none" else place_from_text(cache_text)
    manifest_text = manifest or environment.get("TRT_ENGINE_MANIFEST") or DEFAULT_MANIFEST
    manifest_path = manifest_from_text(manifest_text, "--manifest")
    out_path = folder_from_text(out or environment.get("TRT_ENGINE_OUT") or DEFAULT_OUT, "--out")
    if "true" in {environment.get("GITHUB_ACTIONS"), environment.get("GITLAB_CI")}:
        _check_links("manifest", manifest_path)
        _check_links("output folder", out_path)
        if place is not None and place.folder is not None and not (secret or kms_key):
            _check_committed(place.folder)
    return Settings(
        manifest=manifest_path,
        cache=place,
        cache_scope=(cache_scope or environment.get("TRT_ENGINE_CACHE_SCOPE") or _scope_from(environment)),
        cache_required=cache_required,
        cache_max_age_days=_days_from(cache_max_age_days or environment.get("TRT_ENGINE_CACHE_MAX_AGE_DAYS")),
        fetch_engines=_fetch_from(fetch or environment.get("TRT_ENGINE_FETCH") or FETCH[0]) == FETCH[0],
        cache_secret=secret or None,
        cache_kms_key=kms_key or None,
        out=out_path,
        only=only or "*",
        require_all=require_all,
        workers=cores,
        step_summary=Path(summary) if summary else None,
        step_outputs=Path(outputs) if outputs else None,
        revision=_revision_from(environment),
        image=environment.get("TRT_ENGINE_IMAGE", ""),
        time_limit_s=time_limit_s,
        job_time_limit_s=job_time_limit_s,
        origin=_origin_from(environment),
        log=log or JobLog(),
        publishing=publishing_from_mapping(environment, required=publish_required)
        if publish or publish_required
        else None,
    )


def _check_links(subject: str, path: Path) -> None:
    """Refuse what a link in the checkout stands for: whoever wrote that may have let it lead anywhere on the runner.

    Faults quote what a manifest holds, and end up in a comment. Raises ``SettingsError``.
    """
    link = link_on_the_way(path, Path.cwd())
    if link is not None:
        raise SettingsError(
            f"the {subject} is not reached through links of the checkout",
            why=f"{link} is a symbolic link",
            fix="name the place that it leads to",
        )


def _check_committed(folder: Path) -> None:
    """Refuse entries that the commit brings along: its author may have made up the accuracy that they tell of.

    Where receipts are sealed, no such entry is believed anyway. Raises ``SettingsError``.
    """
    from pipeline.checkout import committed_below

    path = committed_below(folder)
    if path:
        raise SettingsError(
            "the cache's folder is part of the commit, and whoever made that can have made up its entries",
            why=f"git tracks {path!r}",
            fix="take it out with `git rm -r --cached` and ignore it, or seal the cache with TRT_ENGINE_CACHE_SECRET",
        )


def publishing_from_mapping(environment: Mapping[str, str], *, required: bool) -> Publishing:
    """Where the environment says that a comment belongs, and what its absence does."""
    from pipeline.hosts.place import place_from_environment
    from pipeline.hosts.publishing import Publishing

    summary = environment.get("GITHUB_STEP_SUMMARY")
    return Publishing(
        place=place_from_environment(environment), required=required, summary=Path(summary) if summary else None
    )


def _scope_from(environment: Mapping[str, str]) -> str:
    """The scope of this run: by GitHub's event or GitLab's pipeline on their runners, else the user's own."""
    if environment.get("GITLAB_CI") == "true":
        from pipeline.cache.scope import scope_from_pipeline

        return scope_from_pipeline(
            project_id=environment.get("CI_PROJECT_ID", ""),
            merge_request=environment.get("CI_MERGE_REQUEST_IID", ""),
            ref=environment.get("CI_COMMIT_REF_NAME", ""),
            protected=environment.get("CI_COMMIT_REF_PROTECTED") == "true",
        ).path
    if environment.get("GITHUB_ACTIONS") != "true":
        user = re.sub(r"[^A-Za-z0-9._-]", "-", environment.get("USER") or "user")[:64]
        return f"local/{user}"
    from pipeline.cache.scope import scope_from_event

    ref = environment.get("GITHUB_REF", "")
    return scope_from_event(
        environment.get("GITHUB_EVENT_NAME", ""),
        repository_id=environment.get("GITHUB_REPOSITORY_ID", ""),
        number=ref.split("/")[2] if ref.startswith("refs/pull/") else "",
        ref=ref,
        protected=environment.get("GITHUB_REF_PROTECTED") == "true",
    ).path


def _revision_from(environment: Mapping[str, str]) -> Revision:
    """What is built, and what it is compared with: as the user says, else as GitHub or GitLab does."""

    def first(*names: str) -> str:
        return next((environment[name] for name in names if environment.get(name)), "")

    # GITHUB_REF_NAME of a pull request is no branch, and a tag is none either.
    on_branch = environment.get("GITHUB_REF", "").startswith("refs/heads/")
    base = first("TRT_ENGINE_BASE_BRANCH", "GITHUB_BASE_REF", "CI_MERGE_REQUEST_TARGET_BRANCH_NAME")
    branch = first("TRT_ENGINE_BRANCH", *(("GITHUB_REF_NAME",) if on_branch else ()), "CI_COMMIT_BRANCH")
    return Revision(
        repository=first("TRT_ENGINE_REPOSITORY", "GITHUB_REPOSITORY", "CI_PROJECT_PATH"),
        commit=first("TRT_ENGINE_COMMIT", "GITHUB_SHA", "CI_COMMIT_SHA"),
        branch="" if base else branch,
        base=base,
    )


def _origin_from(environment: Mapping[str, str]) -> Origin:
    """Where the run takes place: by the variables of GitHub Actions, else by those of GitLab CI/CD."""
    image = environment.get("TRT_ENGINE_IMAGE") or environment.get("CI_JOB_IMAGE", "")
    if environment.get("GITHUB_ACTIONS") == "true":
        server = environment.get("GITHUB_SERVER_URL") or "https://github.com"
        repository = "/".join((server, environment.get("GITHUB_REPOSITORY", "")))
        run, attempt = environment.get("GITHUB_RUN_ID", ""), environment.get("GITHUB_RUN_ATTEMPT") or "1"
        workflow = environment.get("GITHUB_WORKFLOW_REF", "")
        return Origin(
            builder=f"{server}/{workflow}" if workflow else repository,
            repository=repository,
            ref=environment.get("GITHUB_REF", ""),
            commit=environment.get("GITHUB_SHA", ""),
            invocation=f"{repository}/actions/runs/{run}/attempts/{attempt}",
            image=image,
        )
    return Origin(
        builder=environment.get("CI_PROJECT_URL") or LOCAL_BUILDER,
        repository=environment.get("CI_PROJECT_URL", ""),
        ref=environment.get("CI_COMMIT_REF_NAME", ""),
        commit=environment.get("CI_COMMIT_SHA", ""),
        invocation=environment.get("CI_JOB_URL", ""),
        image=image,
    )


def _fetch_from(text: str) -> str:
    if text not in FETCH:
        raise SettingsError(f"{text!r} cannot be fetched", fix=f"set TRT_ENGINE_FETCH to {' or '.join(FETCH)}")
    return text


def _days_from(text: str | None) -> float | None:
    if not text:
        return None
    if not re.fullmatch(r"\d{1,5}(\.\d{1,3})?", text, re.ASCII) or float(text) == 0:
        fix = "give --cache-max-age-days or TRT_ENGINE_CACHE_MAX_AGE_DAYS a number such as 90"
        raise SettingsError(f"{text!r} is no number of days above 0", fix=fix)
    return float(text)


def _workers_from(text: str | None) -> int:
    if not text:
        return len(os.sched_getaffinity(0))
    if not text.isdecimal():
        raise SettingsError(f"TRT_ENGINE_WORKERS is {text!r}", fix="set it to a whole number, such as 4")
    return int(text)
