"""Crystals told apart by the lattice of their reflections alone."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tasks.apertures.automatic import AutomaticApertures
from tasks.apertures.fingerprint import Fingerprints, reciprocal_vectors
from tasks.apertures.geometry import TiltGeometry
from tasks.apertures.identity import clearest_pair, cut_where_the_lattice_changes, join_pieces
from tasks.apertures.pictures import Pictures
from tasks.apertures.register import Pair
from tasks.apertures.tracking import Track, join_regions
from tests.synthetic.aperture_scores import score_apertures
from tests.synthetic.diffracting_cluster import Cluster, write_cluster
from tests.synthetic.made_segmentation import made_segmentation

GEOMETRY = TiltGeometry(np.array([0.6, 0.8, 0.0]), 0.002, 0.0197)
TILTS = np.arange(-20.0, 21.0)
CELL = (9.0, 13.0, 17.0)


CENTRE = (300.0, 280.0)


class Unseen:
    """Pictures that tell nothing."""

    def alike(self, _one, _two):
        return None


def excited(orientation, tilt):
    """Pixels (slow, fast) of the lattice points within 0.004 1/A of the Ewald sphere: the beam travels along -z."""
    grid = np.stack(np.meshgrid(*[np.arange(-14, 15)] * 3, indexing="ij"), -1).reshape(-1, 3)
    q = (grid / np.array(CELL)) @ orientation.T
    q = q @ Rotation.from_rotvec(np.radians(tilt) * GEOMETRY.axis).as_matrix().T
    q = q[(np.linalg.norm(q, axis=1) < 0.9) & (np.linalg.norm(q, axis=1) > 0.05)]
    off = np.linalg.norm(q - np.array([0, 0, 1 / GEOMETRY.wavelength_angstrom]), axis=1)
    q = q[np.abs(off - 1 / GEOMETRY.wavelength_angstrom) < 0.004]
    return CENTRE + np.stack([-q[:, 1], q[:, 0]], axis=1) / GEOMETRY.inverse_angstrom_per_px


@pytest.fixture(scope="module")
def two_crystals():
    """Scans of two crystals of one form, region 0 and region 1, in every scan."""
    turns = Rotation.random(2, random_state=3).as_matrix()
    rng = np.random.default_rng(5)
    scans = []
    for tilt in TILTS:
        spots = [excited(turn, tilt) for turn in turns]
        of = np.repeat([0, 1], [len(px) for px in spots])
        patterns = np.array([of == 0, of == 1]) / np.bincount(of)[:, None]
        px = np.concatenate(spots) + rng.normal(0, 0.3, (len(of), 2))
        images = np.full((2, 1, 1), 5000.0)
        scans.append(made_segmentation(images, patterns=patterns, px=px, centre=CENTRE))
    return scans


def test_scans_of_one_crystal_are_alike_and_of_two_are_not(two_crystals):
    prints = Fingerprints(two_crystals, reciprocal_vectors(two_crystals, TILTS, GEOMETRY))
    first, second, other = (
        prints.of([(scan, region) for scan in scans])
        for scans, region in ((range(5), 0), (range(5, 10), 0), (range(5, 10), 1))
    )
    assert first @ second > 0.4
    assert abs(first @ other) < 0.15


def test_every_spot_is_given_to_its_crystal(two_crystals):
    prints = Fingerprints(two_crystals, reciprocal_vectors(two_crystals, TILTS, GEOMETRY))
    scan = 20
    around = [number for number in range(14, 27) if number != scan]
    support = np.array([prints.support(scan, [(number, region) for number in around]) for region in (0, 1)])
    truth = two_crystals[scan].patterns.argmax(axis=0)
    assert (support.argmax(axis=0) == truth).mean() > 0.95


def test_a_track_that_exchanged_its_crystal_is_cut_and_joined_rightly(two_crystals):
    prints = Fingerprints(two_crystals, reciprocal_vectors(two_crystals, TILTS, GEOMETRY))
    n = len(TILTS)
    swapped = [Track({scan: int(scan >= 17) ^ start for scan in range(n)}) for start in (0, 1)]
    pieces = cut_where_the_lattice_changes(swapped, prints)
    assert sorted(len(piece.regions) for piece in pieces) == [17, 17, n - 17, n - 17]
    joined = join_pieces(pieces, prints, Unseen())
    assert [set(track.regions.values()) for track in joined] in ([{0}, {1}], [{1}, {0}])


def test_a_true_track_is_not_cut(two_crystals):
    prints = Fingerprints(two_crystals, reciprocal_vectors(two_crystals, TILTS, GEOMETRY))
    tracks = [Track(dict.fromkeys(range(len(TILTS)), region)) for region in (0, 1)]
    assert cut_where_the_lattice_changes(tracks, prints) == tracks


def test_crystals_that_pass_through_each_other_keep_their_names(tmp_path):
    """Seen from the side, 60 degrees of tilt carry one crystal across the other."""
    cluster = Cluster(
        seed=3, tilts=tuple(np.arange(-60.0, 1.0, 2.0)), scan=(30, 30), crystals=3, radius=(4.0, 5.0), spread=3.0
    )
    series, truth = write_cluster(replace(cluster, drift=0.3), tmp_path)
    scores = score_apertures(AutomaticApertures().propose(series, tmp_path), truth, least=10)
    inside = truth.thickness > 0
    assert (inside.sum(axis=1) > 1).sum() > 0.1 * inside.any(axis=1).sum()
    assert scores.swaps == 0
    assert scores.precision >= 0.95


APART = {(0, 1): -1.0, (2, 3): -1.0}
"""Pieces 0 and 1 lie in the same scans, 2 and 3 in the others: two parts of one crystal a few degrees apart."""
NEARLY_ALIKE = APART | {(0, 2): 0.74, (1, 3): 0.57, (0, 3): 0.60, (1, 2): 0.58}


def unseen(_one, _other):
    return None


def test_pieces_with_a_rival_nearly_as_alike_are_left_apart_if_no_picture_decides():
    assert clearest_pair(NEARLY_ALIKE, unseen) is None
    assert clearest_pair(NEARLY_ALIKE, lambda *_: 0.8) is None
    assert clearest_pair(APART | {(0, 2): 0.74, (1, 3): 0.57, (0, 3): 0.10, (1, 2): 0.05}, unseen) == (0, 2)
    assert clearest_pair({(0, 1): 0.6, (0, 2): 0.5, (1, 2): 0.5}, unseen) == (0, 1)
    assert clearest_pair(APART | {(0, 2): 0.2, (1, 3): 0.2, (0, 3): 0.0, (1, 2): 0.0}, unseen) is None


@pytest.mark.parametrize(("true", "first"), [({(0, 2), (1, 3)}, (0, 2)), ({(0, 3), (1, 2)}, (0, 3))])
def test_of_pieces_nearly_alike_those_in_one_place_are_joined(true, first):
    assert clearest_pair(NEARLY_ALIKE, lambda a, b: 0.9 if (min(a, b), max(a, b)) in true else 0.5) == first


def test_a_picture_does_not_outweigh_a_lattice_that_is_clearly_another():
    likeness = APART | {(0, 2): 0.74, (1, 3): 0.57, (0, 3): 0.10, (1, 2): 0.05}
    crossed = {(0, 3), (1, 2)}
    assert clearest_pair(likeness, lambda a, b: 0.9 if (min(a, b), max(a, b)) in crossed else 0.5) == (0, 2)


def test_pictures_are_compared_after_registration_and_only_of_near_scans():
    offsets = np.array([[0.0, 0.0], [6.0, -5.0], *[[0.0, 0.0]] * 8])
    scans = []
    for row, column in offsets:
        images = np.zeros((2, 30, 30))
        for image, place in zip(images, ((8, 12), (8, 18)), strict=True):
            image[place[0] + int(row) : place[0] + int(row) + 5, place[1] + int(column) :][:, :5] = 9.0
        scans.append(made_segmentation(images))
    pictures = Pictures(scans, offsets)
    assert pictures.alike([(0, 0)], [(1, 0)]) > 0.95
    assert pictures.alike([(0, 0)], [(1, 1)]) < 0.5
    assert pictures.alike([(0, 0)], [(9, 0)]) is None


def test_a_bright_reflection_that_a_neighbour_meets_later_does_not_exchange_names():
    """Two regions stay where they are; in scan 1 the second diffracts as the first did in scan 0."""
    shape = np.array([[0.95, 0.55], [0.50, 0.97]])
    pairs = {
        (0, 1): Pair(np.zeros(2, dtype=np.int64), shape, np.array([[0.08, 0.98], [0.0, 0.1]])),
        (1, 2): Pair(np.zeros(2, dtype=np.int64), shape, np.array([[0.6, 0.0], [0.0, 0.6]])),
        (0, 2): Pair(np.zeros(2, dtype=np.int64), shape, np.array([[0.1, 0.9], [0.0, 0.1]])),
    }
    for track in join_regions(pairs, [2, 2, 2]):
        assert len(set(track.regions.values())) == 1


class InPlace:
    """Pictures that all fit."""

    def __init__(self, overlap):
        self.overlap = overlap

    def alike(self, _one, _other):
        return self.overlap


class Prints:
    """Prints of which those of the scans below 6 and above are alike by a cosine."""

    def __init__(self, likeness):
        self.later = np.array([likeness, np.sqrt(1 - likeness**2)], dtype=np.float32)

    def number(self, regions):
        return 5 * len(list(regions))

    def differences(self, regions):
        return np.array([1.0, 0.0], dtype=np.float32) if max(regions)[0] < 6 else self.later

    def of(self, regions):
        return self.differences(regions)


@pytest.mark.parametrize(
    ("likeness", "overlap", "pieces"), [(0.2, 0.5, 2), (0.2, None, 2), (0.2, 0.9, 1), (0.05, 0.9, 2), (0.4, None, 1)]
)
def test_a_doubtful_likeness_suffices_for_pieces_in_one_place_only(monkeypatch, likeness, overlap, pieces):
    monkeypatch.setattr("tasks.apertures.identity.fingerprint", lambda values: values)
    halves = [Track(dict.fromkeys(range(6), 0)), Track(dict.fromkeys(range(6, 12), 0))]
    assert len(join_pieces(halves, Prints(likeness), InPlace(overlap))) == pieces
