from __future__ import annotations

import pytest

from pipeline.inspection.precision_shares import audit_precision, error_from_audit, precision_shares
from pipeline.precision import Precision
from tests.support.layers import engine_of, layer


def test_shares_are_of_layers_and_of_time_most_time_first() -> None:
    shares = precision_shares(
        [layer("a", "fp16", time_ms=1.0), layer("b", "fp16", time_ms=1.0), layer("c", "int8", time_ms=6.0)]
    )
    assert [(share.precision, share.layers, share.time_share) for share in shares] == [
        ("int8", 1, 0.75),
        ("fp16", 2, 0.25),
    ]


def test_without_times_there_are_shares_of_layers_alone() -> None:
    (share,) = precision_shares([layer("a", "fp16")])
    assert (share.layer_share, share.time_share) == (1.0, None)


def test_an_engine_asked_for_in_fp16_that_is_mostly_fp32_has_a_fault() -> None:
    audit = audit_precision(engine_of(layer("a", "fp32"), layer("b", "fp32"), layer("c", "fp16")), Precision.FP16)
    assert audit.fault == (
        "of 3 layers that compute, 2 in fp32, and only 1 in bf16, fp16, fp4, fp8, int4 or int8; at least 50% must be"
    )
    assert error_from_audit(audit).exit_code == 6


def test_one_that_is_mostly_what_was_asked_for_has_none() -> None:
    audit = audit_precision(engine_of(layer("a", "fp32"), layer("b", "int8"), layer("c", "int8")), Precision.INT8)
    assert audit.fault == ""
    assert audit.share == pytest.approx(2 / 3)


def test_an_int8_engine_without_an_int8_layer_has_a_fault_whatever_its_share_of_fp16() -> None:
    audit = audit_precision(engine_of(layer("a", "fp16"), layer("b", "fp16")), Precision.INT8_FP16)
    assert audit.fault == "none of the 2 layers that compute runs in int8"


def test_layers_that_do_not_compute_do_not_count() -> None:
    idle = [layer(f"r{number}", "fp32", kind="Reformat", tactic=None) for number in range(9)]
    assert audit_precision(engine_of(layer("a", "fp16"), *idle), Precision.FP16).fault == ""


def test_layers_of_unknown_precision_are_no_fault_and_leave_its_share_open() -> None:
    audit = audit_precision(engine_of(layer("a", None), layer("b", None)), Precision.FP16)
    assert (audit.fault, audit.share) == ("", None)


@pytest.mark.parametrize("asked", [Precision.FP32, Precision.TF32])
def test_fp32_is_never_too_wide(asked: Precision) -> None:
    assert audit_precision(engine_of(layer("a", "fp32")), asked).fault == ""


def test_a_share_of_nought_asks_for_nothing() -> None:
    assert audit_precision(engine_of(layer("a", "fp32")), Precision.FP16, 0).fault == ""
