"""Settings: every engine can be chosen, every mistake is named."""

import json
from pathlib import Path

import pytest

from adapters.compute.dask_workers import DaskCompute
from adapters.compute.here import ThreadsCompute
from adapters.compute.processes import ProcessesCompute
from flows.settings import Settings, load_settings
from tasks.apertures.automatic import AutomaticApertures
from tasks.apertures.drawn import ApertureFile
from tasks.model import Document, FileRef, InputError, SettingsError


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


@pytest.fixture
def aperture_file(tmp_path: Path) -> Path:
    path = tmp_path / "drawn.json"
    path.write_text("{}")
    return path


def test_apertures_are_proposed_unless_a_file_is_named(aperture_file: Path) -> None:
    assert load_settings(None, ["apertures.max_crystals=4"]).apertures == AutomaticApertures(max_crystals=4)
    assert load_settings(None, ["apertures.file=null"]) == Settings()
    read = ApertureFile(file=FileRef.of(aperture_file))
    assert load_settings(None, [f"apertures.file={aperture_file}"]).apertures == read
    assert load_settings(None, ["apertures.engine=file", f"apertures.file={aperture_file}"]).apertures == read


def test_what_is_set_for_proposals_does_not_matter_beside_a_file(aperture_file: Path) -> None:
    settings = load_settings(None, ["apertures.max_crystals=4", "apertures.seed=7", f"apertures.file={aperture_file}"])
    assert settings.apertures == ApertureFile(file=FileRef.of(aperture_file), seed=7)
    assert settings.changed()["apertures"]["engine"] == "file"
    assert Settings.model_validate(settings.model_dump(mode="json")) == settings


@pytest.mark.parametrize(
    ("assignments", "named"),
    [
        (["apertures.engine=file"], "apertures.file: "),
        (["apertures.engine=file", "apertures.file=5"], "apertures.file: "),
        (["apertures.file=absent.h5"], "apertures.file: absent.h5"),
        (["apertures.engine=automatic", "apertures.file=absent.h5"], "apertures.file: "),
        (["apertures.engine=magic"], "apertures.engine: "),
        (["apertures.max_crystals=0"], "apertures.max_crystals: "),
        (["apertures.nonsense=1"], "apertures.nonsense: "),
        (["ingest.tilts_min=0"], "ingest.tilts_min: "),
    ],
)
def test_a_wrong_setting_of_apertures_or_ingest_is_named(assignments: list[str], named: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load_settings(None, assignments)
    assert named in raised.value.message


def test_the_fewest_scans_can_be_set() -> None:
    assert load_settings(None, ["ingest.tilts_min=3"]).ingest.tilts_min == 3


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


@pytest.mark.parametrize(
    ("assignments", "compute"),
    [
        (["compute.workers=4"], ThreadsCompute(workers=4)),
        (["workers=4"], ThreadsCompute(workers=4)),
        (["workers=4", "compute.engine=processes"], ProcessesCompute(workers=4)),
        (["workers=4", "compute.workers=8"], ThreadsCompute(workers=8)),
        (["compute.cluster=short"], DaskCompute(cluster="short")),
        (["compute.address=tcp://there:8786", "compute.workers=9"], DaskCompute(address="tcp://there:8786", workers=9)),
    ],
)
def test_where_crystals_are_computed_is_said_in_few_words(assignments: list[str], compute: Document) -> None:
    assert load_settings(None, assignments).compute == compute


def test_a_scheduler_and_a_cluster_exclude_each_other() -> None:
    with pytest.raises(SettingsError, match="both set"):
        load_settings(None, ["compute.cluster=short", "compute.address=tcp://there:8786"])


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
    for engine in (
        "automatic",
        "file",
        "builtin",
        "dials",
        "xds",
        "direct-methods",
        "charge-flipping",
        "shelxt",
        "smtbx",
        "shelxl",
    ):
        assert f'"{engine}"' in schema
