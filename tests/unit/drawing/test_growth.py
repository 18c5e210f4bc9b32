"""Grow from here, against the truth of a simulated cluster, and against patterns made up."""

import numpy as np
import pytest
from scipy import ndimage

from tasks.drawing import Scene, connected_part, grow, likeness_of, region_like
from tasks.drawing.likeness import misorientation
from tasks.model import ScienceError
from tasks.simulate import ClusterPlan, Instrument, SimulationSettings, TiltPlan, uio66
from tests.synthetic.random_series import random_series
from tests.synthetic.simulated_store import simulated_store

TILTS = (2, 5, 8)


@pytest.fixture(scope="module")
def scene(drifting):
    return Scene(drifting[0])


def insides(truth, tilt):
    """Yield (crystal, where it is, where it alone is, a seed within)."""
    here = truth.thickness[tilt] > 0
    alone = here & (here.sum(axis=0) == 1)
    for number, mask in enumerate(alone):
        depth = ndimage.distance_transform_edt(mask)
        if depth.max() >= 3:
            yield here[number], mask, tuple(int(n) for n in np.unravel_index(np.argmax(depth), depth.shape))


def test_a_crystal_is_found_and_its_edge_is_kept(scene, drifting) -> None:
    found = []
    for tilt in TILTS:
        for whole, alone, seed in insides(drifting[1], tilt):
            mask, wanted = grow(scene, tilt, seed), connected_part(alone, seed)
            assert mask[seed]
            found.append(((mask & whole).sum() / mask.sum(), (mask & wanted).sum() / wanted.sum()))
    on_crystal, recall = np.array(found).T
    assert len(found) >= 6
    assert on_crystal.min() > 0.97
    assert recall.mean() > 0.8
    assert recall.min() > 0.6


def test_where_crystals_overlap_more_likeness_takes_less_of_the_other(scene, drifting) -> None:
    spoiled = {0.3: 0, 0.9: 0}
    for tilt in TILTS:
        for whole, alone, seed in insides(drifting[1], tilt):
            like = likeness_of(scene, tilt, seed)
            regions = {value: region_like(like, seed, value) for value in spoiled}
            assert not (regions[0.9] & ~regions[0.3]).any()
            for value, region in regions.items():
                spoiled[value] += int((region & whole & ~alone).sum())
    assert spoiled[0.3] > 20
    assert spoiled[0.9] < 0.6 * spoiled[0.3]


def test_the_seeds_own_neighbourhood_is_like_itself(scene, drifting) -> None:
    _, _, seed = next(insides(drifting[1], 5))
    explained = likeness_of(scene, 5, seed).explained
    rows, columns = slice(seed[0] - 1, seed[0] + 2), slice(seed[1] - 1, seed[1] + 2)
    assert explained[rows, columns].mean() == pytest.approx(1.0, abs=0.1)


def test_another_crystal_is_misoriented_and_the_reference_is_not(scene, drifting) -> None:
    (_, first, _), (_, second, _) = list(insides(drifting[1], 5))[:2]
    core, other = (ndimage.binary_erosion(one, iterations=2) for one in (first, second))
    image = scene.image(5, "misorientation", reference=core)
    assert np.median(image[core]) < 0.15
    assert np.median(image[other]) > 0.6
    outside = ~ndimage.binary_dilation((drifting[1].thickness[5] > 0).any(axis=0), iterations=2)
    assert np.median(image[outside]) == 1.0


def misoriented_part(folder, angle):
    """Return a scene of one tilt, where a crystal and its misoriented part are alone, and a seed in the crystal."""
    settings = SimulationSettings(
        seed=5,
        tilts=TiltPlan(angles_deg=(4.0,)),
        cluster=ClusterPlan(crystals=1, size_nm=200, bad_fraction=0.4, bad_misorientation_deg=angle),
        instrument=Instrument(shape_px=(256, 256), scan_shape=(32, 32)),
    )
    series, truth = simulated_store(uio66(), settings, folder)
    here = truth.thickness[0] > 0
    good, part = here & (here.sum(axis=0) == 1)
    depth = ndimage.distance_transform_edt(good)
    return Scene(series), good, part, tuple(int(n) for n in np.unravel_index(np.argmax(depth), depth.shape))


def test_a_part_of_a_crystal_that_is_turned_is_not_taken_and_shows_as_misoriented(tmp_path) -> None:
    scene, good, part, seed = misoriented_part(tmp_path, 2.0)
    mask = grow(scene, 0, seed)
    assert part.sum() > 60
    assert (mask & good).sum() > 0.75 * good.sum()
    assert (mask & part).sum() < 0.05 * part.sum()
    image = scene.image(0, "misorientation", reference=mask)
    assert np.median(image[mask]) < 0.1
    assert np.median(image[part]) > 0.3


def test_without_bragg_electrons_nothing_grows(tmp_path) -> None:
    scene = Scene(random_series(tmp_path, tilts=1, scan_shape=(9, 9), detector_shape=(64, 64), mean=200))
    with pytest.raises(ScienceError, match="no sure Bragg electrons"):
        grow(scene, 0, (4, 4))
    none = np.zeros((9, 9), dtype=bool)
    none[0, 0] = True
    assert (misorientation(scene.spots(0), none) == 1.0).all()


def test_a_seed_outside_the_scan_is_refused(scene) -> None:
    with pytest.raises(ValueError, match="outside the scan"):
        grow(scene, 0, (40, 3))
