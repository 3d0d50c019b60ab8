from __future__ import annotations

import json
from pathlib import Path

from pipeline.manifest.types import BuildSettings
from pipeline.precision import Precision
from pipeline.publish.sidecar import LayerPrecision, builder_settings_from_build, sidecar_to_json
from tests.support.goldens import golden_text
from tests.support.reports import sample_sidecar


def test_the_json_form_stays_what_it_is() -> None:
    text = json.dumps(sidecar_to_json(sample_sidecar()), indent=2, ensure_ascii=False) + "\n"
    assert text == golden_text("report/engine.json", text)


def test_the_builder_settings_hide_where_plugins_lay() -> None:
    build = BuildSettings(plugins=(Path("/home/someone/libplugin.so"),), layer_precisions=(("/conv*", Precision.FP32),))
    settings = builder_settings_from_build(build, "detailed", refit=True)
    assert settings.plugins == ("libplugin.so",)
    assert settings.layer_precisions == (LayerPrecision("/conv*", Precision.FP32),)
