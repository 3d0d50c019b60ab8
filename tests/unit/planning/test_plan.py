from __future__ import annotations

import pytest

from pipeline.cache.answers import Hit, Miss, Off, Rejected
from pipeline.cache.receipt import Receipt
from pipeline.errors import SettingsError
from pipeline.keys import key_from_ingredients
from pipeline.planning.plan import Plan, State, jobs_from_manifest, models_of, needs_runner, planned_from_lookup
from pipeline.precision import Precision
from tests.support.specs import H200, SM_89, job, manifest_of, model_spec

KEY = key_from_ingredients("engine", {"model": "m"})
RECEIPT = Receipt(
    key=KEY,
    subject="digits/sm_89/fp16",
    blobs=(),
    metadata={"duration_s": 12.5},
    created="2026-01-01T00:00:00Z",
    tool="1",
)


def test_there_is_a_job_for_each_model_target_and_precision_in_the_manifests_order() -> None:
    manifest = manifest_of(model_spec(targets=(SM_89, H200)), model_spec(name="other", precisions=(Precision.INT8,)))
    assert [each.id for each in jobs_from_manifest(manifest)] == [
        "digits/sm_89/fp32",
        "digits/sm_89/fp16",
        "digits/h200/fp32",
        "digits/h200/fp16",
        "other/sm_89/int8",
    ]


def test_only_selects_jobs_by_a_glob_over_their_ids() -> None:
    manifest = manifest_of(model_spec(targets=(SM_89, H200)))
    assert [each.id for each in jobs_from_manifest(manifest, "*/h200/*16")] == ["digits/h200/fp16"]


def test_a_selection_of_nothing_is_refused_with_a_near_spelling() -> None:
    with pytest.raises(SettingsError, match="did you mean 'digits/sm_89/fp16'"):
        jobs_from_manifest(manifest_of(model_spec()), "digits/sm89/fp16")


@pytest.mark.parametrize(
    ("only", "glob"),
    [("digits", "digits/*"), ("sm_89", "*/sm_89/*"), ("fp16", "*/fp16"), ("digits/*,sm_89", "*/sm_89/*")],
)
def test_a_part_of_a_job_id_is_told_as_the_glob_that_was_meant(only: str, glob: str) -> None:
    with pytest.raises(SettingsError) as raised:
        jobs_from_manifest(manifest_of(model_spec()), only)
    assert raised.value.fix == f"did you mean {glob!r}?"


def test_each_glob_of_several_must_select_something() -> None:
    with pytest.raises(SettingsError, match="--only 'digit/\\*' selects none of the 2 jobs"):
        jobs_from_manifest(manifest_of(model_spec()), "digits/*,digit/*")


def test_a_hit_is_cached() -> None:
    planned = planned_from_lookup(job(), Hit(RECEIPT))
    assert planned.state is State.CACHED
    assert planned.previous_s == 12.5


@pytest.mark.parametrize(
    ("lookup", "previous_s"),
    [
        (Miss("changed: model a -> b", RECEIPT), 12.5),
        (Miss("never"), None),
        (Rejected("damaged"), None),
        (Off("no"), None),
    ],
)
def test_all_else_is_built_for_the_reason_that_the_cache_gave(
    lookup: Miss | Rejected | Off, previous_s: float | None
) -> None:
    planned = planned_from_lookup(job(), lookup)
    assert (planned.state, planned.reason, planned.previous_s) == (State.BUILD, lookup.reason, previous_s)


def test_jobs_are_found_by_state() -> None:
    waiting = needs_runner(job(target=H200), "needs a runner with H200")
    plan = Plan((waiting, planned_from_lookup(job(), Miss("never"))))
    assert plan.with_state(State.NEEDS_RUNNER) == (waiting,)


def test_each_model_is_listed_once() -> None:
    spec = model_spec()
    assert models_of(jobs_from_manifest(manifest_of(spec))) == (spec,)
