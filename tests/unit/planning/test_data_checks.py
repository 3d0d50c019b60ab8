from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.digest import digest_from_bytes
from pipeline.errors import ModelError
from pipeline.manifest.types import Accuracy, Calibration, Location
from pipeline.planning.data_checks import check_data
from pipeline.precision import Precision
from pipeline.prepare.facts import facts_from_json
from tests.support.specs import job
from tests.support.workshops import FACTS

LOCATION = Location("m.yaml", 4, 5)
CALIBRATION = Calibration(data=Path("/models/calibration.npz"), location=LOCATION)
ACCURACY = Accuracy(
    data=Path("/models/evaluation.npz"), labels=Path("/models/labels.npy"), tolerances=(), location=LOCATION
)


class Workshop:
    """Notes which data is asked about; what is named in ``wrong`` does not fit."""

    def __init__(self, *wrong: str) -> None:
        self.wrong, self.asked = wrong, list[dict[str, Any]]()

    def obtain(self, recipe: Any) -> None:
        request = recipe.request(())
        self.asked.append(request)
        if Path(request["data"]).name in self.wrong:
            raise ModelError("it does not fit", fix="mend it", where=request["data"])


def check(workshop: Workshop, precision: Precision, **parts: Any) -> None:
    its_job = job(precision, **parts)
    model = SimpleNamespace(
        spec=its_job.model,
        facts=facts_from_json(FACTS),
        calibration_data=digest_from_bytes(b"calibration"),
        evaluation=(digest_from_bytes(b"evaluation"), digest_from_bytes(b"labels")),
        benchmark_data=None,
        unchanged=lambda: True,
    )
    recipes: Any = SimpleNamespace(workshop=workshop)
    models: Any = {its_job.model.name: model}
    check_data(recipes, models, [its_job])


def names(workshop: Workshop) -> list[str]:
    return [Path(request["data"]).name for request in workshop.asked]


def test_calibration_and_evaluation_data_are_held_against_the_models_inputs() -> None:
    workshop = Workshop()
    check(workshop, Precision.INT8, calibration=CALIBRATION, accuracy=ACCURACY)
    assert names(workshop) == ["calibration.npz", "evaluation.npz"]
    assert workshop.asked[1]["labels"] == "/models/labels.npy"
    assert workshop.asked[0]["inputs"][0]["name"] == "image"


def test_calibration_data_that_no_precision_needs_is_left_alone() -> None:
    workshop = Workshop()
    check(workshop, Precision.FP16, calibration=CALIBRATION, accuracy=ACCURACY)
    assert names(workshop) == ["evaluation.npz"]


def test_data_that_does_not_fit_is_told_at_the_line_of_its_model() -> None:
    with pytest.raises(ModelError, match="it does not fit") as raised:
        check(Workshop("evaluation.npz"), Precision.INT8, calibration=CALIBRATION, accuracy=ACCURACY)
    assert [(fault.line, fault.path) for fault in raised.value.faults] == [(4, "models.digits")]


def test_every_data_set_that_does_not_fit_is_told() -> None:
    with pytest.raises(ModelError, match="2 data sets do not fit") as raised:
        check(Workshop("calibration.npz", "evaluation.npz"), Precision.INT8, calibration=CALIBRATION, accuracy=ACCURACY)
    assert len(raised.value.faults) == 2
