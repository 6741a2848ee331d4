"""Runs of the study: settings by name, everything checked before the first run."""

import pytest

from adabm.backbones import default_backbone
from adabm.errors import ConfigError, DataError
from adabm.study import Run, StudySettings, run_all


def test_settings_by_name():
    assert Run.at("adabm", "W4A4 FQ", 3) == Run("adabm", 4, 4, True, 3)
    for setting in ("W4A4 FQ", "W8A6"):
        assert Run.at("minmax", setting).setting == setting
    assert Run("fp32").setting == "FP32"
    with pytest.raises(ConfigError, match="W4A4FQ"):
        Run.at("minmax", "W4A4FQ")


def test_bad_runs_are_refused_at_once(tmp_path):
    settings = StudySettings(tmp_path, default_backbone())
    with pytest.raises(ConfigError, match="minmaxx"):
        run_all([Run("fp32"), Run.at("minmaxx", "W4A4")], settings)
    with pytest.raises(DataError, match="nowhere"):
        run_all([Run("fp32")], StudySettings(tmp_path / "nowhere", default_backbone()))
