from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from pipeline.errors import SettingsError
from pipeline.fan_out.matrix import batches_from_jobs, github_matrix, gitlab_pipeline
from pipeline.planning.plan import PlannedJob, State, jobs_from_manifest
from pipeline.precision import Precision
from tests.support.specs import H200, SM_89, job, manifest_of, model_spec

TEMPLATE = Path(__file__).parents[3] / "templates/gitlab/trt-engines.yml"
RUNNERS = {"h200": ("self-hosted", "gpu h200"), "default": ("ubuntu-24.04",)}


def planned(*jobs: tuple[str, object]) -> list[PlannedJob]:
    targets = {"sm_89": SM_89, "h200": H200}
    return [PlannedJob(job(Precision(str(p)), target=targets[t]), State.BUILD, "never built before") for t, p in jobs]


THREE = planned(("h200", "fp16"), ("sm_89", "fp32"), ("h200", "fp32"))


def test_jobs_of_one_runner_go_together() -> None:
    first, second = batches_from_jobs(THREE, RUNNERS)
    assert (first.labels, first.only) == (("self-hosted", "gpu h200"), "digits/h200/fp16,digits/h200/fp32")
    assert (second.labels, second.only) == (("ubuntu-24.04",), "digits/sm_89/fp32")


def test_what_a_batch_names_is_what_only_selects() -> None:
    manifest = manifest_of(model_spec(targets=(SM_89, H200)))
    only = batches_from_jobs(THREE, RUNNERS)[0].only
    assert {each.id for each in jobs_from_manifest(manifest, only)} == {"digits/h200/fp16", "digits/h200/fp32"}


def test_names_are_safe_in_file_names_and_differ() -> None:
    runners = {"h200": ("gpu", "a b"), "sm_89": ("gpu", "a/b")}
    assert [batch.name for batch in batches_from_jobs(THREE, runners)] == ["gpu-a-b", "gpu-a-b-2"]


def test_a_target_without_a_runner_is_refused() -> None:
    with pytest.raises(SettingsError, match="no runner for h200, sm_89"):
        batches_from_jobs(THREE, {})


def test_nothing_to_build_is_an_empty_matrix() -> None:
    assert github_matrix(batches_from_jobs([], {})) == {"include": []}


def test_github_gets_labels_and_job_ids() -> None:
    assert github_matrix(batches_from_jobs(THREE, RUNNERS))["include"][0] == {
        "name": "self-hosted-gpu-h200",
        "labels": ["self-hosted", "gpu h200"],
        "only": "digits/h200/fp16,digits/h200/fp32",
        "jobs": 2,
    }


def test_gitlab_gets_a_job_for_each_batch_and_a_report_over_all() -> None:
    pipeline = gitlab_pipeline(batches_from_jobs(THREE, RUNNERS))
    build = pipeline["trt-engines-build-ubuntu-24.04"]
    assert build["tags"] == ["ubuntu-24.04"]
    out = "trt-engines-parts-$CI_COMMIT_SHA/ubuntu-24.04"
    assert build["script"] == [f"trt-engines run --only 'digits/sm_89/fp32' --out {out}"]
    needs = [need["job"] for need in pipeline["trt-engines-report"]["needs"]]
    assert needs == ["trt-engines-plan", "trt-engines-build-self-hosted-gpu-h200", "trt-engines-build-ubuntu-24.04"]
    assert json.loads(json.dumps(pipeline)) == pipeline


def test_gitlabs_report_is_a_comment_and_two_files_that_it_shows_in_the_merge_request() -> None:
    report = gitlab_pipeline(())["trt-engines-report"]
    assert report["script"][-1] == "trt-engines report --from trt-engines-parts-$CI_COMMIT_SHA --publish --exit-code"
    files = report["artifacts"]["reports"]
    assert report["script"][0].endswith(f"--format code-quality > {files['codequality']}")
    assert report["script"][1].endswith(f"--format metrics > {files['metrics']}")


def test_gitlabs_builds_take_their_role_like_the_plan_does() -> None:
    """The component's own file is no Python; what both say must be the same."""
    plan = next(document for document in yaml.safe_load_all(TEMPLATE.read_text()) if "trt-engines-plan" in document)[
        "trt-engines-plan"
    ]
    build = gitlab_pipeline(batches_from_jobs(THREE, RUNNERS))["trt-engines-build-ubuntu-24.04"]
    assert (build["id_tokens"], build["before_script"]) == (plan["id_tokens"], plan["before_script"])
    assert "id_tokens" not in gitlab_pipeline(())["trt-engines-report"]


def test_gitlabs_pipeline_keeps_its_jobs_where_a_merge_request_began_it() -> None:
    assert gitlab_pipeline(())["workflow"] == {"rules": [{"when": "always"}]}


def test_gitlabs_pipeline_is_never_empty_because_an_empty_one_fails() -> None:
    assert "trt-engines-report" in gitlab_pipeline(())
