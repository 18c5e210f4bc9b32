"""What is suspected where nothing was found."""

import numpy as np
import pytest

from tasks.crystal.contents import room_for_units
from tasks.crystal.miller import sphere
from tasks.crystal.symmetry import laue_operations
from tasks.integrate.reflection_file import Merged
from tasks.model import Composition, UnitCell
from tasks.solve.data.diagnosis import suspicions
from tasks.solve.data.prepared import normalised

CINCHONINE = Composition.parse("C19 H22 N2 O")


@pytest.mark.parametrize(
    ("formula", "cell", "units"),
    [
        ("C19 H22 N2 O", (10.732, 7.283, 11.107, 90, 108.06, 90), 2),
        ("C9 H11 N O3", (6.008, 7.025, 21.69, 90, 90, 90), 4),
        ("C12 H22 O11", (7.716, 8.6638, 10.8118, 90, 102.982, 90), 2),
        ("C3 H7 N O2", (5.9279, 12.2597, 5.7939, 90, 90, 90), 4),
    ],
)
def test_molecules_are_counted_by_their_volume(formula: str, cell: tuple[float, ...], units: int) -> None:
    found = room_for_units(Composition.parse(formula), UnitCell.of(cell).volume_angstrom3)
    assert found == pytest.approx(units, rel=0.14)
    assert not any("formula units" in text for text in suspicions((), found))


def test_frameworks_are_not_counted_by_volume() -> None:
    assert room_for_units(Composition.parse("Si O2"), 2051.0) is None
    assert room_for_units(None, 2051.0) is None


def test_a_cell_with_room_for_parts_of_molecules_is_suspect() -> None:
    volume = UnitCell.of((13.4, 5.83, 12.77, 90, 108.06, 90)).volume_angstrom3
    assert "2.3 formula units" in suspicions(("little signal",), room_for_units(CINCHONINE, volume))[0]


def test_sound_intensities_put_the_blame_on_what_was_said_about_them() -> None:
    assert "cell, the Laue class or the composition" in suspicions((), None)[-1]
    assert suspicions(("little signal",), None) == ()


def trouble(*, background: float = 0.0, noise: float = 0.1, share: float = 1.0, size: float = 1.0) -> tuple[str, ...]:
    """Return what is said of exponential intensities with a fall of B = 2 and a mean of 1 at the origin."""
    cell = UnitCell.of((7.1 * size, 8.2 * size, 9.3 * size, 84.0, 97.0, 102.0))
    laue = laue_operations("P -1")
    hkl = sphere(cell, laue, 0.8)
    rng = np.random.default_rng(5)
    d_star_sq = cell.gemmi().calculate_1_d2_array(hkl)
    intensity = np.exp(-d_star_sq) * rng.exponential(size=len(hkl)) + noise * rng.normal(size=len(hkl)) - background
    kept = rng.random(len(hkl)) < share
    sigma, once = np.full(len(hkl), noise), np.ones(len(hkl), np.int32)
    merged = Merged(hkl[kept], intensity[kept], sigma[kept], once[kept])
    return normalised(merged, cell=cell, laue_group="P -1", radiation="electron", d_min_angstrom=0.8).diagnosis.trouble


def test_sound_intensities_are_in_no_trouble() -> None:
    assert trouble(noise=0.02) == ()


def test_too_high_a_background_is_named_first() -> None:
    assert "too high a background" in trouble(background=0.2, noise=0.02)[0]


def test_noise_is_named_before_what_follows_from_it() -> None:
    assert "little signal" in trouble(noise=30.0)[0]


def test_few_reflections_are_counted() -> None:
    (said,) = trouble(noise=0.02, share=0.03)
    count = int(said.split()[1])
    assert said == f"only {count} unique reflections, 3 % of all, were measured"
    assert 30 < count < 90


def test_the_few_reflections_of_a_small_cell_are_counted() -> None:
    (said,) = trouble(noise=0.01, size=0.26)
    assert "unique reflections: too few to tell" in said
