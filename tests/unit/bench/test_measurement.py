from __future__ import annotations

import json
from dataclasses import replace

import pytest

from pipeline.bench.measurement import measurement_from_json, measurement_to_json
from pipeline.record import RecordError
from tests.support.reports import measurement


def test_reading_a_measurement_is_the_inverse_of_writing_it() -> None:
    whole = measurement()
    assert measurement_from_json(json.loads(json.dumps(measurement_to_json(whole)))) == whole


def test_a_measurement_without_its_figures_is_refused() -> None:
    value = measurement_to_json(measurement())
    del value["compute"]
    with pytest.raises(RecordError, match="compute"):
        measurement_from_json(value)


def test_throughput_is_that_of_the_faster_of_one_stream_and_several() -> None:
    whole = measurement(0.5)
    assert whole.items_per_s == 3000 * 8
    assert replace(whole, streams=None).items_per_s == 2000 * 8


def test_without_items_there_is_no_throughput_in_them() -> None:
    assert replace(measurement(), items_per_inference=None).items_per_s is None
