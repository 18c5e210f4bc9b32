"""What a scene takes from a run: its maps, its apertures; and what it makes of the events where there is no run."""

import h5py
import numpy as np
import pytest

from tasks.apertures import ApertureSet, CrystalAperture
from tasks.drawing import Drawing, Scene, find_drift
from tasks.model import FileRef, SourceError
from tasks.model.provenance import Provenance
from tests.synthetic.random_series import random_series

FORM = (3, 7, 9)
MAPS = ("counts", "bright_field", "dark_field", "bragg", "quality")


@pytest.fixture
def run(tmp_path):
    """Return a series and apertures whose maps are numbers of their own."""
    rng = np.random.default_rng(8)
    with h5py.File(tmp_path / "maps.h5", "w") as file:
        for name in MAPS:
            file[name] = rng.random(FORM).astype(np.float32)
    crystals = []
    for number, origin in ((1, "automatic"), (2, "user")):
        path, masks = tmp_path / f"crystal-{number:02d}.h5", rng.random(FORM) < 0.4
        with h5py.File(path, "w") as file:
            file["masks"], file["tilt_deg"] = masks, np.arange(FORM[0])
        counts = tuple(masks.sum(axis=(1, 2)).tolist())
        crystals.append(CrystalAperture(id=path.stem, origin=origin, masks=FileRef.of(path), positions_per_tilt=counts))
    apertures = ApertureSet(
        tilt_deg=(-1.0, 0.0, 1.0),
        scan_shape=FORM[1:],
        crystals=tuple(crystals),
        maps=FileRef.of(tmp_path / "maps.h5"),
        provenance=Provenance(engine="test", version="1"),
    )
    return random_series(tmp_path), apertures


def test_the_images_are_the_runs_maps(run) -> None:
    series, apertures = run
    scene = Scene(series, apertures=apertures)
    with h5py.File(apertures.maps.path) as file:
        for name, image in (("bright field", "bright_field"), ("dark field", "dark_field"), ("Bragg", "bragg")):
            np.testing.assert_array_equal(scene.image(2, name), file[image][2])
        np.testing.assert_array_equal(find_drift(scene).source, "Bragg maps of the run")
    np.testing.assert_array_equal(scene.image(1, "counts"), scene.counts(1))


def test_a_drawing_starts_from_the_runs_crystals(run) -> None:
    drawing = Drawing.of(run[1])
    assert [one.origin for one in drawing.crystals] == ["proposed", "drawn"]
    for one in run[1].crystals:
        np.testing.assert_array_equal(drawing.crystal(one.id).masks, one.positions)


def test_apertures_of_another_series_are_refused(run, tmp_path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(SourceError, match="another series"):
        Scene(random_series(other, scan_shape=(6, 9)), apertures=run[1])


def test_without_a_run_the_images_are_of_the_same_kind(drifting) -> None:
    """Bright and dark field part the electrons; the crystals are bright in the Bragg image and of good quality."""
    scene, tilt = Scene(drifting[0]), 5
    crystals = (drifting[1].thickness[tilt] > 0).any(axis=0)
    bright, dark, bragg, quality = (
        scene.image(tilt, name) for name in ("bright field", "dark field", "Bragg", "quality")
    )
    assert (bright + dark <= scene.counts(tilt)).all()
    assert bright[crystals].mean() < bright[~crystals].mean()
    assert bragg[crystals].mean() > 10 * abs(bragg[~crystals].mean())
    assert np.median(quality[crystals]) > 5 > np.quantile(quality[~crystals], 0.9)
    centre = scene.centre(tilt)
    assert scene.pattern(tilt, crystals)[round(centre[0]), round(centre[1])] == scene.pattern(tilt, crystals).max()


def test_every_image_is_described(drifting) -> None:
    scene = Scene(drifting[0])
    assert all(scene.describe(name) for name in scene.image_names)
    with pytest.raises(KeyError, match="no image 'phase'"):
        scene.image(0, "phase")


def test_a_run_with_maps_shows_the_angle_at_the_positions_of_every_tilt(run, tmp_path) -> None:
    series, apertures = run
    angle, cell = np.linspace(0, 3, 63).reshape(7, 9), np.full(FORM, -1)
    cell[1, 2, 3:6] = [40, 41, 40]
    with h5py.File(tmp_path / "angles.h5", "w") as file:
        file["angle_deg"], file["cell"] = angle, cell
    scene = Scene(series, apertures=apertures, angle_maps=[tmp_path / "angles.h5"])
    image = scene.image(1, "misorientation angle")
    assert image[2, 3:6] == pytest.approx(angle.ravel()[[40, 41, 40]])
    assert np.isfinite(image).sum() == 3
    assert np.isnan(scene.image(0, "misorientation angle")).all()
    assert "degrees" in scene.describe("misorientation angle")
    assert "misorientation angle" not in Scene(series, apertures=apertures).image_names


def test_a_damaged_file_of_maps_is_named(run, tmp_path) -> None:
    (tmp_path / "angles.h5").write_bytes(b"no maps")
    scene = Scene(run[0], apertures=run[1], angle_maps=[tmp_path / "angles.h5"])
    with pytest.raises(SourceError, match=r"angles\.h5: no readable maps"):
        scene.image(0, "misorientation angle")


@pytest.mark.parametrize(
    "held",
    [
        {"angle_deg": np.zeros(3), "cell": np.full(FORM, 3)},  # positions of a larger map
        {"angle_deg": np.zeros(3)},
        {"angle_deg": np.array([b"many"]), "cell": np.zeros(FORM, int)},
    ],
)
def test_maps_that_contradict_themselves_are_no_readable_maps(run, tmp_path, held: dict) -> None:
    with h5py.File(tmp_path / "angles.h5", "w") as file:
        for name, values in held.items():
            file[name] = values
    scene = Scene(run[0], apertures=run[1], angle_maps=[tmp_path / "angles.h5"])
    with pytest.raises(SourceError, match=r"angles\.h5: no readable maps"):
        scene.image(0, "misorientation angle")


def test_maps_of_another_series_are_refused(run, tmp_path) -> None:
    with h5py.File(tmp_path / "angles.h5", "w") as file:
        file["angle_deg"], file["cell"] = np.zeros((4, 4)), np.zeros((3, 4, 4), dtype=int)
    with pytest.raises(SourceError, match="another series"):
        Scene(run[0], angle_maps=[tmp_path / "angles.h5"]).image(0, "misorientation angle")
