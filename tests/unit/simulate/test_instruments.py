"""Named instruments: bundles of settings, each of which can be changed."""

import pytest

from tasks.model import SettingsError
from tasks.simulate.instruments import INSTRUMENTS, settings_of
from tasks.simulate.models import SimulationSettings


def test_the_ideal_instrument_is_that_of_the_defaults() -> None:
    assert settings_of("ideal", {}) == SimulationSettings()


@pytest.mark.parametrize("name", list(INSTRUMENTS))
def test_every_instrument_is_valid_and_survives_being_written_down(name: str) -> None:
    settings = settings_of(name, {})
    assert SimulationSettings.model_validate_json(settings.model_dump_json()) == settings


def test_a_value_changes_its_own_setting_only() -> None:
    whole = settings_of("4d-camera", {})
    changed = settings_of("4d-camera", {"seed": 4, "instrument": {"camera": {"frames_per_position": 8}}})
    assert changed.seed == 4
    assert changed.instrument.camera.frames_per_position == 8
    back = {"camera": whole.instrument.camera}
    assert changed.instrument.model_copy(update=back) == whole.instrument


def test_an_unknown_instrument_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SettingsError, match="5d-camera") as refused:
        settings_of("5d-camera", {})
    assert "4d-camera" in refused.value.advice
