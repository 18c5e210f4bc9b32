"""Which crystals are measured in the lattice of others before all are merged."""

import pytest
from pydantic import ValidationError

import flows.patchwork
from flows.parallel import Abreast
from flows.patchwork import Patch, gathered, require_known, with_failures
from flows.progress import QuietSteps
from tasks.integrate import BuiltinIntegrator, CrystalLeftOut, PatchworkSettings, combine_crystals
from tasks.model import NotIndexedError, SettingsError
from tasks.report import CrystalOutcome
from tests.synthetic.bare_frames import frames_at
from tests.synthetic.crystal_forms import TRICLINIC, Form, crystal

FAINT = ("crystal-03", "crystal-04")


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    form = Form(TRICLINIC, "P -1", 1)
    return {
        f"crystal-{n:02d}": crystal(f"crystal-{n:02d}", form, folder, seed=n, normal=normal)
        for n, normal in enumerate([(1, 0, 0), (0, 1, 0), (0, 0, 1)], 1)
    }


@pytest.fixture
def crystals(sets):
    """Two that index alone, and two that do not."""
    frames = frames_at([0.0, 1.0], sets["crystal-01"].unmerged)
    known = [CrystalOutcome(id=name, frames=frames, reflections=sets[name]) for name in ("crystal-01", "crystal-02")]
    return [*known, *(CrystalOutcome(id=name, frames=frames) for name in FAINT)]


@pytest.fixture
def asked(sets, monkeypatch):
    """The engines that were asked, by crystal; crystal-04 is of no lattice that is known."""
    found = {}

    def integrate(frames, engine, workdir):
        name = workdir.parent.name
        found[name] = engine
        if name == "crystal-04":
            raise NotIndexedError("no orientation explains the spots", "it may be another crystal")
        return sets[name]

    monkeypatch.setattr(flows.patchwork, "integrate_frames", integrate)
    monkeypatch.setattr(flows.patchwork, "keeps_geometry", lambda _: True)
    return found


def patch(folder, **settings):
    engine = BuiltinIntegrator(spot_significance=4.5)
    return Patch(folder, PatchworkSettings(**settings), QuietSteps(), Abreast(), engine)


def test_crystals_without_intensities_are_measured_in_the_lattice_of_those_that_agree(crystals, asked, sets, tmp_path):
    found = gathered(patch(tmp_path), crystals)
    engine = asked["crystal-03"]
    assert engine.engine == asked["crystal-04"].engine == "neighbour-geometry"
    assert {one.reflections.id for one in engine.neighbours} == {"crystal-01", "crystal-02"}
    assert engine.spot_significance == 4.5
    assert found.reflections == sets
    assert [(one.id, one.reason) for one in found.failed] == [("crystal-04", "no orientation explains the spots")]


def test_where_none_is_solved_alone_all_are_measured_beyond_their_own_limits(crystals, asked, sets, tmp_path):
    gathered(patch(tmp_path), crystals)
    best = min(sets[name].d_min_angstrom for name in ("crystal-01", "crystal-02"))
    assert {name for name, engine in asked.items() if engine.d_min_angstrom < 0.95 * best} == {*FAINT, "crystal-01",
                                                                                             "crystal-02"}  # fmt: skip
    assert asked["crystal-01"].reference.id == "crystal-01"


def test_no_crystal_is_measured_again_if_that_is_switched_off(crystals, asked, tmp_path):
    found = gathered(patch(tmp_path, index_faint=False), crystals)
    assert asked == {}
    assert set(found.reflections) == {"crystal-01", "crystal-02"}


def test_a_crystal_is_measured_in_the_lattice_of_those_it_may_join_only(crystals, asked, tmp_path):
    gathered(patch(tmp_path, clusters=(("crystal-02", "crystal-03"),)), crystals)
    assert set(asked) == {"crystal-02", "crystal-03"}
    assert asked["crystal-03"].reference.id == "crystal-02"


def test_who_has_no_intensities_is_left_out_of_the_largest_set(sets, tmp_path):
    combined = combine_crystals(tuple(sets.values()), tmp_path / "combined")
    (first,) = with_failures(combined, [CrystalLeftOut(id="crystal-04", reason="too faint")]).clusters
    assert [one.id for one in first.left_out] == ["crystal-04"]


def test_a_name_that_no_crystal_has_is_refused():
    settings = PatchworkSettings(clusters=(("crystal-01", "crystal-17"),))
    with pytest.raises(SettingsError, match="no crystal is named crystal-17"):
        require_known(settings, ["crystal-01", "crystal-02"])


def test_a_crystal_that_is_named_twice_is_refused():
    with pytest.raises(ValidationError, match="crystal-02: named more than once"):
        PatchworkSettings(clusters=(("crystal-01", "crystal-02"), ("crystal-02", "crystal-03")))
