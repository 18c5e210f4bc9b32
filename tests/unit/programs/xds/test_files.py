"""XDS's listings read to the numbers in the files of a real run; XDS.INP against that run's own."""

import re
from pathlib import Path

import h5py
import numpy as np
import pytest

from adapters.programs.probe import licence_until
from adapters.programs.xds.input import XdsChoices, image_grid, xds_inp
from adapters.programs.xds.output import (
    check_for_errors,
    parse_correct,
    parse_idxref,
    parse_integrate,
    statistics_table,
)
from tasks.frames.models import Frame, FrameSeries
from tasks.model import (
    Beam,
    Detector,
    FileRef,
    LicenceExpiredError,
    NotIndexedError,
    ProgramFailedError,
    UnitCell,
)
from tasks.model.provenance import Provenance

CHOICES = XdsChoices("XYCORR INIT COLSPOT IDXREF", 1.0, 20.0, 0.25)


@pytest.fixture
def xds(shared_data: Path) -> Path:
    """Folder of a real run of XDS on cinchonine."""
    return shared_data / "cinchonine" / "DemoData" / "Cinchonine" / "xds"


def listing(xds: Path, name: str) -> str:
    return (xds / name).read_text(errors="replace")


def series(tmp_path: Path, angles: list[float], **changes: object) -> FrameSeries:
    stack = tmp_path / "stack.h5"
    with h5py.File(stack, "w") as file:
        file["frames"] = np.zeros((len(angles), 4, 4), dtype=np.uint16)
        file["mask"] = np.ones((4, 4), dtype=bool)
    values: dict[str, object] = {
        "id": "crystal-01",
        "sample": "cinchonine",
        "composition": None,
        "beam": Beam(energy_kev=200.0),
        "detector": Detector(name="Cheetah", shape_px=(512, 512), pixel_size_mm=0.055, camera_length_mm=443.0),
        "direct_beam_px": (255.0, 255.0),
        "rotation_axis": (0.7880, 0.6157, 0.0),
        "frames": tuple(Frame(number=i, angle_deg=a, width_deg=0.2522, counts=1.0) for i, a in enumerate(angles)),
        "stack": FileRef.of(stack),
        "saturation": 65535.0,
        "provenance": Provenance(engine="test", version="1"),
    }
    return FrameSeries(**(values | changes))


def keywords(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        for name, value in re.findall(
            r"([A-Z][-A-Z_'.()]*(?:\(\w+\))?)=\s*([^=!]*?)(?=\s+[A-Z][-A-Z_'.()]*=|\s*!|$)", line.split("!")[0]
        ):
            found.setdefault(name, []).append(value.strip())
    return found


def test_the_written_geometry_agrees_with_the_real_xds_inp(xds: Path, tmp_path: Path) -> None:
    """Every geometry line of the real file, to its last digit; image 1 of ours is image 5 of theirs."""
    real = keywords((xds / "XDS.INP").read_text())
    first = -50.46 + 5 * 0.2522
    mine = series(tmp_path, [first + 0.2522 * i for i in range(399)])
    ours = keywords(xds_inp(mine, image_grid(mine), CHOICES, template="image_?????.cbf"))
    checked = 0
    for name in (
        "X-RAY_WAVELENGTH",
        "DETECTOR_DISTANCE",
        "NX",
        "NY",
        "QX",
        "QY",
        "ORGX",
        "ORGY",
        "OSCILLATION_RANGE",
        "DIRECTION_OF_DETECTOR_X-AXIS",
        "DIRECTION_OF_DETECTOR_Y-AXIS",
        "INCIDENT_BEAM_DIRECTION",
        "ROTATION_AXIS",
        "OVERLOAD",
    ):
        for theirs, own in zip(real[name][0].split(), ours[name][0].split(), strict=True):
            digits = len(theirs.partition(".")[2])
            assert float(own) == pytest.approx(float(theirs), abs=0.51 * 10.0**-digits), name
            checked += 1
    assert checked == 22
    start = float(real["STARTING_ANGLE"][0]) + (5 - int(real["STARTING_FRAME"][0])) * float(
        real["OSCILLATION_RANGE"][0]
    )
    assert float(ours["STARTING_ANGLE"][0]) == pytest.approx(start, abs=1e-6)
    assert ours["STARTING_FRAME"] == ["1"]
    assert ours["REFINE(IDXREF)"] == ["BEAM AXIS ORIENTATION CELL"]


def test_gaps_are_excluded_and_axes_turned(tmp_path: Path) -> None:
    angles = [-5.0 + i for i in (0, 1, 2, 5, 6, 9)]
    frames = tuple(Frame(number=i, angle_deg=a, width_deg=0.0, counts=1.0) for i, a in enumerate(angles))
    mine = series(tmp_path, angles, frames=frames, rotation_axis=(0.6, -0.8, 0.0))
    grid = image_grid(mine)
    assert grid.numbers == (1, 2, 3, 6, 7, 10)
    assert (grid.start_deg, grid.width_deg) == (-5.5, 1.0)
    found = keywords(xds_inp(mine, grid, CHOICES, template="x"))
    assert found["EXCLUDE_DATA_RANGE"] == ["4 5", "8 9"]
    assert [float(x) for x in found["ROTATION_AXIS"][0].split()] == [0.6, 0.8, 0.0]
    assert found["DATA_RANGE"] == ["1 10"]
    assert found["MINIMUM_VALID_PIXEL_VALUE"] == ["0"]


def test_frames_off_the_grid_are_left_out_and_irregular_ones_refused(tmp_path: Path) -> None:
    angles = [0.0, 1.0, 2.0, 2.4, 3.0, 4.0]
    stills = tuple(Frame(number=i, angle_deg=a, width_deg=0.0, counts=1.0) for i, a in enumerate(angles))
    assert image_grid(series(tmp_path, angles, frames=stills)).indices == (0, 1, 2, 4, 5)
    odd = [0.0, 1.0, 2.37, 4.11, 5.73]
    stills = tuple(Frame(number=i, angle_deg=a, width_deg=0.0, counts=1.0) for i, a in enumerate(odd))
    with pytest.raises(NotIndexedError, match="equally spaced"):
        image_grid(series(tmp_path, odd, frames=stills))


def test_of_frames_repeated_at_a_tilt_the_first_is_taken(tmp_path: Path) -> None:
    angles = [a for tilt in range(4) for a in (float(tilt), float(tilt))]
    stills = tuple(Frame(number=i, angle_deg=a, width_deg=0.0, counts=1.0) for i, a in enumerate(angles))
    grid = image_grid(series(tmp_path, angles, frames=stills))
    assert (grid.numbers, grid.indices, grid.width_deg) == ((1, 2, 3, 4), (0, 2, 4, 6), 1.0)


def test_the_distance_is_refined_only_with_a_cell(tmp_path: Path) -> None:
    mine = series(tmp_path, [0.2522 * i for i in range(20)])
    cell = UnitCell(a=10.7, b=7.3, c=11.1, alpha=90, beta=108, gamma=90)
    without = keywords(xds_inp(mine, image_grid(mine), CHOICES._replace(refine_distance=True), template="x"))
    with_cell = keywords(
        xds_inp(
            mine,
            image_grid(mine),
            CHOICES._replace(refine_distance=True, cell=cell, space_group_number=3),
            template="x",
        )
    )
    assert "POSITION" not in without["REFINE(CORRECT)"][0]
    assert "POSITION" in with_cell["REFINE(CORRECT)"][0]
    assert with_cell["SPACE_GROUP_NUMBER"] == ["3"]
    changed = keywords(xds_inp(mine, image_grid(mine), CHOICES._replace(extra=(("SPOT_RANGE", "1 5"),)), template="x"))
    assert changed["SPOT_RANGE"] == ["1 5"]


def test_idxref_is_read(xds: Path) -> None:
    found = parse_idxref(listing(xds, "IDXREF.LP"))
    assert (found.indexed, found.spots) == (403, 791)
    assert found.geometry.unit_cell.parameters == (10.917, 7.410, 11.296, 90.0, 108.103, 90.0)
    assert (found.geometry.spot_sd_px, found.geometry.spindle_sd_deg) == (0.85, 0.19)
    assert found.geometry.rotation_axis == (0.793338, -0.608781, -0.000525)
    assert found.geometry.distance_mm == 443.0
    assert len(found.lattices) == 44
    accepted = [row for row in found.lattices if row.accepted]
    assert [(row.number, row.bravais, row.quality) for row in accepted[:3]] == [
        (44, "aP", 0.0),
        (31, "aP", 1.3),
        (35, "mP", 3.3),
    ]
    assert len(accepted) == 6


def test_integrate_is_read(xds: Path) -> None:
    found = parse_integrate(listing(xds, "INTEGRATE.LP"))
    assert [row.image for row in found.images] == list(range(5, 404))
    assert found.images[0] == (5, 0, 0.714, 7091, 0, 50, 8, 2, 0.00843, 0.19558)
    assert found.saved == 2012
    assert found.reflecting_range_esd_deg == pytest.approx(0.210, abs=0.001)


def test_correct_is_read(xds: Path) -> None:
    found = parse_correct(listing(xds, "CORRECT.LP"))
    assert (found.variance_a, found.variance_b, found.i_sigma_asymptotic) == (2.690, 6.013e-3, 7.86)
    assert found.wilson_b == 9.182
    assert found.geometry.unit_cell.parameters == (10.732, 7.283, 11.107, 90.0, 108.060, 90.0)
    assert found.geometry.unit_cell_esd == (0.22, 0.14, 0.22, 0.0, 0.12, 0.0)
    assert found.geometry.origin_px == (257.43, 254.60)
    assert found.geometry.mosaicity_deg == 0.210
    assert (found.misfits, found.absent, found.accepted, found.unique) == (54, 8, 1950, 1287)
    assert len(found.shells) == 9
    assert found.shells[0][:5] == (2.86, 80, 49, 75, 0.653)
    assert found.shells[-1].cc_half == pytest.approx(0.768)
    assert found.total[:5] == (None, 1950, 1287, 1818, pytest.approx(0.708))
    assert (found.total.i_over_sigma, found.total.r_meas, found.total.cc_half) == (
        4.10,
        pytest.approx(0.142),
        pytest.approx(0.977),
    )


def test_real_listings_without_errors_raise_none(xds: Path) -> None:
    for path in xds.glob("*.LP"):
        check_for_errors(path.read_text(errors="replace"), path.stem)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (" !!! ERROR !!! INSUFFICIENT PERCENTAGE (< 50%) OF INDEXED REFLECTIONS", NotIndexedError),
        (" !!! ERROR !!! CANNOT CONTINUE WITH A TWO DIMENSIONAL LATTICE", NotIndexedError),
        (" !!! ERROR !!! SOLUTION IS INACCURATE", NotIndexedError),
        (" !!! ERROR !!! CANNOT OPEN OR READ FILE image_00001.cbf", ProgramFailedError),
        (" !!! ERROR !!! something new", ProgramFailedError),
        (" !!! ERROR !!! VERSION OF XDS HAS EXPIRED", LicenceExpiredError),
        (" Sorry, license expired on 31-Mar-2025", LicenceExpiredError),
    ],
)
def test_markers_become_typed_errors(text: str, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        check_for_errors(f"some lines\n{text}\nmore", "IDXREF")


def test_the_licence_date_of_the_real_greeting_is_read() -> None:
    text = " Copy licensed until 31-Aug-2025 to\n  academic users for non-commercial applications\n"
    assert licence_until(text) == "31-Aug-2025"
    with pytest.raises(LicenceExpiredError, match="31-Aug-2025"):
        check_for_errors(f"{text} !!! ERROR !!! LICENSE EXPIRED", "XYCORR")


def test_cut_listings_are_typed_errors() -> None:
    for parse in (parse_idxref, parse_integrate, parse_correct):
        with pytest.raises(ProgramFailedError):
            parse("cut")
    with pytest.raises(ProgramFailedError, match="no complete table"):
        statistics_table(" SUBSET OF INTENSITY DATA WITH SIGNAL/NOISE >= -3.0\n  2.86 80 49", "CORRECT.LP")
