"""The jobs that runners must take, as the CI system's own scheduler wants them (pure)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pipeline.planning.plan import PlannedJob

PARTS = "trt-engines-parts-$CI_COMMIT_SHA"
"""The folder below which each runner leaves its engines and its report, in a folder of its own.

No commit can hold a folder of this name, so that no report in it was written by whoever made the commit."""
ID_TOKEN = {"TRT_ENGINE_ID_TOKEN": {"aud": "$CI_SERVER_URL"}}
WITH_ROLE = (
    'if [ -n "${AWS_ROLE_ARN:-}" ]; then AWS_WEB_IDENTITY_TOKEN_FILE=$(mktemp); export AWS_WEB_IDENTITY_TOKEN_FILE; '
    'printf %s "$TRT_ENGINE_ID_TOKEN" > "$AWS_WEB_IDENTITY_TOKEN_FILE"; fi'
)
"""How a job of GitLab becomes an AWS role: boto3 reads the job's ID token from a file that this variable names."""
CODE_QUALITY, METRICS = "trt-engines-code-quality.json", "trt-engines-metrics.txt"


@dataclass(frozen=True, slots=True)
class Batch:
    """What one runner takes. ``name`` is safe in file names; ``labels`` choose the runner."""

    name: str
    labels: tuple[str, ...]
    jobs: tuple[PlannedJob, ...]

    @property
    def only(self) -> str:
        """What ``--only`` is given. Job ids hold neither wildcards nor commas nor anything that a shell reads."""
        return ",".join(planned.job.id for planned in self.jobs)


def batches_from_jobs(jobs: Iterable[PlannedJob], runners: Mapping[str, tuple[str, ...]]) -> tuple[Batch, ...]:
    """One batch for each set of labels, in the order of the jobs. ``runners`` is target id -> labels.

    Raises ``SettingsError`` naming every target that has no runner.
    """
    jobs = tuple(jobs)
    lost = list(dict.fromkeys(each.job.target.id for each in jobs if not _labels(each, runners)))
    if lost:
        raise SettingsError(
            f"no runner for {', '.join(lost)}",
            why="the manifest's `runners` does not say which runners build these targets",
            fix=f"add, for example, `runners: {{{lost[0]}: [self-hosted, {lost[0]}]}}`",
        )
    grouped: dict[tuple[str, ...], list[PlannedJob]] = {}
    for planned in jobs:
        grouped.setdefault(_labels(planned, runners), []).append(planned)
    names: dict[str, int] = {}
    batches = []
    for labels, members in grouped.items():
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(labels))[:80].strip("-.") or "runner"
        names[name] = names.get(name, 0) + 1
        unique = name if names[name] == 1 else f"{name}-{names[name]}"
        batches.append(Batch(unique, labels, tuple(members)))
    return tuple(batches)


def github_matrix(batches: tuple[Batch, ...]) -> dict[str, Any]:
    """For ``strategy.matrix``; ``runs-on`` takes ``matrix.labels``."""
    return {
        "include": [
            {"name": batch.name, "labels": list(batch.labels), "only": batch.only, "jobs": len(batch.jobs)}
            for batch in batches
        ]
    }


def gitlab_pipeline(batches: tuple[Batch, ...]) -> dict[str, Any]:
    """A child pipeline: a job for each batch, then the report over all parts, those of the plan among them.

    JSON is YAML too. The trigger hands ``PARENT_PIPELINE_ID``, ``TRT_ENGINE_IMAGE`` and the settings over as variables.
    Without rules GitLab keeps jobs for branches and tags, and a merge request's child pipeline would have none
    ("Run child pipelines with merge request pipelines" in docs.gitlab.com/ci/pipelines/downstream_pipelines).
    """
    image = {"name": "$TRT_ENGINE_IMAGE", "entrypoint": [""]}
    builds = {
        f"trt-engines-build-{batch.name}": {
            "stage": "build",
            "image": image,
            "tags": list(batch.labels),
            "id_tokens": ID_TOKEN,
            "before_script": [WITH_ROLE],
            "script": [f"trt-engines run --only '{batch.only}' --out {PARTS}/{batch.name}"],
            "artifacts": {"when": "always", "paths": [f"{PARTS}/{batch.name}"]},
        }
        for batch in batches
    }
    report = {
        "stage": "report",
        "image": image,
        "when": "always",
        "needs": [
            {"pipeline": "$PARENT_PIPELINE_ID", "job": "trt-engines-plan"},
            *({"job": name, "artifacts": True} for name in builds),
        ],
        "script": [
            f"trt-engines report --from {PARTS} --format code-quality > {CODE_QUALITY}",
            f"trt-engines report --from {PARTS} --format metrics > {METRICS}",
            f"trt-engines report --from {PARTS} --publish --exit-code",
        ],
        "artifacts": {"when": "always", "reports": {"codequality": CODE_QUALITY, "metrics": METRICS}},
    }
    always = {"rules": [{"when": "always"}]}
    return {"workflow": always, "stages": ["build", "report"], **builds, "trt-engines-report": report}


def _labels(planned: PlannedJob, runners: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    return runners.get(planned.job.target.id, runners.get("default", ()))
