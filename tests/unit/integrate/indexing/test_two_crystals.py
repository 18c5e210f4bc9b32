"""Several crystals in one aperture: each lattice is found, and no larger cell that gathers spots of all."""

from collections.abc import Callable
from pathlib import Path

import gemmi
import h5py
import numpy as np
import pytest

from tasks.frames.models import FrameSeries
from tasks.integrate.geometry.mapping import geometry_of
from tasks.integrate.indexing.lattice_score import Cloud, Lattice, index_spots, preferred, reduced
from tasks.integrate.indexing.lattice_search import Solved, solve_lattice
from tasks.integrate.settings import IntegrationSettings
from tasks.integrate.spots.images import load_images, search_spots
from tasks.model import Detector, FileRef, NotIndexedError
from tasks.simulate.demo_structure import uio66
from tasks.simulate.models import Structure
from tests.synthetic.frame_series import Conditions, synthetic_frame_series
from tests.synthetic.structures import corundum, diopside, kyanite

DETECTOR = Detector(
    name="small", shape_px=(300, 300), pixel_size_mm=0.02, camera_length_mm=110.0, direct_beam_px=(149.5, 149.5)
)
SHARP = Conditions(disc_px=1.0, beam_jitter_px=0.2, d_min_angstrom=0.8)
DARK = {"direct": 0.0, "halo": 0.0, "background": 0.0}
SETTINGS = IntegrationSettings()


def crystals(structure: Structure, *, strengths: tuple[float, ...], seed: int, folder: Path) -> FrameSeries:
    """Return frames of crystals of these strengths in orientations drawn from the seed; the first has a background."""
    frames = np.zeros((0,), dtype=np.uint32)
    series = []
    for number, strength in enumerate(strengths):
        place = folder / f"crystal-{number}"
        place.mkdir()
        seen = SHARP._replace(bragg=SHARP.bragg * strength, **({} if number == 0 else DARK))
        angles, drawn = np.arange(-50, 50.1, 2.0), seed + 100 * number
        made = synthetic_frame_series(structure, angles, place, conditions=seen, detector=DETECTOR, seed=drawn)
        series.append(made.series)
        with h5py.File(made.series.stack.path) as file:
            own = file["frames"][:].astype(np.uint32)
            frames, mask = (own if number == 0 else frames + own), file["mask"][:]
    path = folder / "all.h5"
    with h5py.File(path, "w") as file:
        file["frames"], file["mask"] = frames, mask
    return series[0].model_copy(update={"stack": FileRef.of(path)})


def solved(series: FrameSeries) -> Solved:
    images = load_images(series)
    search = search_spots(images, np.array(series.direct_beam_px), threshold=5.0)
    return solve_lattice(geometry_of(series), search, len(series.frames), SETTINGS)


def shortest(rows: np.ndarray) -> np.ndarray:
    """Return the lengths of short vectors of a lattice: the same whatever its reduced cell is called."""
    grid = np.stack(np.meshgrid(*[np.arange(-4, 5)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    return np.sort(np.linalg.norm(grid @ reduced(rows), axis=1))[1:25]


def primitive_rows(structure: Structure) -> np.ndarray:
    group = gemmi.find_spacegroup_by_ops(gemmi.symops_from_hall(structure.hall))
    vector = gemmi.GruberVector(structure.cell.gemmi(), group.centring_type())
    vector.niggli_reduce()
    return np.array(vector.get_cell().orth.mat.tolist()).T


@pytest.mark.parametrize(
    ("make", "strength", "seed"),
    [
        pytest.param(corundum, 1.0, 1, id="trigonal, equal"),
        pytest.param(corundum, 0.5, 2, id="trigonal, one half"),
        pytest.param(diopside, 1.0, 3, id="monoclinic, equal"),
        pytest.param(kyanite, 1.0, 4, id="triclinic, equal"),
        pytest.param(kyanite, 0.5, 5, id="triclinic, one half"),
        pytest.param(uio66, 1.0, 6, id="cubic, equal"),
    ],
)
def test_two_crystals_of_equal_strength_are_told_apart(
    make: Callable[[], Structure], strength: float, seed: int, tmp_path: Path
) -> None:
    structure = make()
    found = solved(crystals(structure, strengths=(1.0, strength), seed=seed, folder=tmp_path))
    got = shortest(np.linalg.inv(found.refined.crystal.basis))
    assert got == pytest.approx(shortest(primitive_rows(structure)), rel=0.005)
    assert 0.4 < found.fraction < 0.75
    further = next(text for text in found.warnings if text.startswith("a further lattice explains"))
    cell = [float(value) for value in further.split("reduced cell ")[1].split()[:6]]
    rows = np.array(gemmi.UnitCell(*cell).orth.mat.tolist()).T
    assert shortest(rows) == pytest.approx(shortest(primitive_rows(structure)), rel=0.01)


def test_three_crystals_of_equal_strength_are_told_apart(tmp_path: Path) -> None:
    structure = corundum()
    found = solved(crystals(structure, strengths=(1.0, 1.0, 1.0), seed=1, folder=tmp_path))
    got = shortest(np.linalg.inv(found.refined.crystal.basis))
    assert got == pytest.approx(shortest(primitive_rows(structure)), rel=0.005)
    assert sum("lattice" in text for text in found.warnings) >= 1


def test_four_crystals_of_equal_strength_give_the_lattice_or_say_that_none_explains_enough(tmp_path: Path) -> None:
    structure = corundum()
    series = crystals(structure, strengths=(1.0, 1.0, 1.0, 1.0), seed=2, folder=tmp_path)
    try:
        found = solved(series)
    except NotIndexedError as error:
        assert "the best lattice explains" in error.message  # noqa: PT017 - either outcome is right
    else:
        got = shortest(np.linalg.inv(found.refined.crystal.basis))
        assert got == pytest.approx(shortest(primitive_rows(structure)), rel=0.005)
        assert any("further lattice" in text or "belong to no lattice" in text for text in found.warnings)


def points_of(basis: np.ndarray, rng: np.random.Generator, number: int) -> np.ndarray:
    """Return lattice points out to 1/angstrom with errors of 0.001/angstrom."""
    hkl = np.stack(np.meshgrid(*[np.arange(-25, 26)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    q = hkl @ basis.T
    q = q[(np.linalg.norm(q, axis=1) < 1.0) & (hkl != 0).any(axis=1)]
    return rng.permutation(q)[:number] + 0.001 * rng.normal(size=(number, 3))


@pytest.mark.parametrize("weak", [0.06, 0.5, 1.0])
def test_a_superstructure_is_kept_even_if_few_of_its_own_spots_are_seen(weak: float) -> None:
    rng = np.random.default_rng(2)
    small = np.diag([1 / 7.0, 1 / 8.0, 1 / 9.5])
    large = small @ np.diag([0.5, 1.0, 1.0])
    main = points_of(small, rng, 800)
    odd = points_of(large, rng, 3000)
    odd = odd[np.rint(2 * 7.0 * odd[:, 0]) % 2 == 1][: int(800 * weak)]
    noise = rng.uniform(-0.6, 0.6, (20, 3))
    q = np.concatenate([main, odd, noise])
    cloud = Cloud(q, np.tile([0.0, 0.0, 1.0], (len(q), 1)), np.ones(len(q)))
    lattices: list[Lattice] = [index_spots(basis, cloud, 0.01) for basis in (small, large, small / 2, large / 2)]
    assert preferred(lattices, cloud, 0.01).volume == pytest.approx(1 / np.linalg.det(large), rel=1e-6)
