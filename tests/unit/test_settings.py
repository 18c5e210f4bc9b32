"""Settings: every engine can be chosen, every mistake is named."""

import json
from pathlib import Path

import pytest

from flows.settings import Settings, load_settings
from tasks.model import InputError, SettingsError


def test_the_defaults_need_nothing() -> None:
    settings = load_settings(None, [])
    assert settings == Settings()
    assert settings.changed() == {}


def test_an_assignment_changes_one_setting_and_is_reported_as_changed() -> None:
    settings = load_settings(None, ["integrate.d_min_angstrom=0.9", "solve.engine=charge-flipping"])
    assert settings.integrate.d_min_angstrom == 0.9
    assert settings.solve.engine == "charge-flipping"
    assert settings.changed()["integrate"] == {"d_min_angstrom": 0.9}


@pytest.mark.parametrize("engine", ["builtin", "dials", "xds", "auto", "all"])
def test_an_integrator_is_chosen_by_name(engine: str) -> None:
    assert load_settings(None, [f"integrate.engine={engine}"]).integrate.engine == engine


def test_a_file_and_assignments_go_together(tmp_path: Path) -> None:
    config = tmp_path / "settings.yaml"
    config.write_text("composition: C6 H6\nintegrate: {engine: dials}\n")
    settings = load_settings(config, ["composition=C2 H6 O"])
    assert settings.composition == "C2 H6 O"
    assert settings.integrate.engine == "dials"


@pytest.mark.parametrize(
    ("assignment", "named"),
    [
        ("nonsense=1", "nonsense"),
        ("integrate.nonsense=1", "integrate.nonsense"),
        ("integrate.engine=magic", "integrate"),
        ("integrate.d_min_angstrom=-1", "integrate.d_min_angstrom"),
        ("integrate.d_min_angstrom=.nan", "integrate.d_min_angstrom"),
        ("workers=0", "workers"),
        ("workers", "workers"),
        ("workers.x.y=1", "workers"),
        ("=1", "=1"),
        ("composition=[1", "composition"),
    ],
)
def test_a_wrong_setting_is_named(assignment: str, named: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load_settings(None, [assignment])
    assert named in raised.value.message


def test_a_composition_that_is_no_formula_is_refused() -> None:
    with pytest.raises(InputError, match="Xx"):
        load_settings(None, ["composition=Xx2 O3"])


@pytest.mark.parametrize("content", ["- a\n- b\n", "a: [", "\x00", "!!python/object/apply:os.system ['true']"])
def test_a_file_that_is_no_settings_is_refused(tmp_path: Path, content: str) -> None:
    config = tmp_path / "settings.yaml"
    config.write_text(content)
    with pytest.raises(SettingsError, match=r"settings\.yaml"):
        load_settings(config, [])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"absent\.yaml"):
        load_settings(tmp_path / "absent.yaml", [])


def test_the_schema_describes_every_engine() -> None:
    schema = json.dumps(Settings.model_json_schema())
    for engine in ("builtin", "dials", "xds", "direct-methods", "charge-flipping", "shelxt", "smtbx", "shelxl"):
        assert f'"{engine}"' in schema
