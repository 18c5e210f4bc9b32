"""Documents as a notebook shows them: small ones whole, large ones on a screen."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.frames import Frame, FrameSeries
from tasks.integrate import Merged, Reflections
from tasks.model import Beam, Detector, Document, FileRef, UnitCell
from tasks.model.provenance import Provenance
from tasks.model.screen import LINES, VALUE_WIDTH, WIDTH, brief
from tests.synthetic.bare_frames import frames_at
from tests.synthetic.solve_cases import reflections_document

CELL = UnitCell(a=10.732, b=7.283, c=11.107, alpha=90, beta=108.06, gamma=90)


def test_a_small_document_is_printed_whole() -> None:
    assert repr(CELL) == "UnitCell(a=10.732, b=7.283, c=11.107, alpha=90.0, beta=108.06, gamma=90.0)"
    assert str(CELL) == repr(CELL)


def test_a_series_of_many_frames_fits_on_a_screen(tmp_path: Path) -> None:
    (tmp_path / "frames.h5").write_bytes(b"")
    text = repr(frames_at(np.arange(-60, 60, 0.1), FileRef.of(tmp_path / "frames.h5")))
    assert text.startswith("FrameSeries(\n")
    assert "frames=(1200 of Frame)" in text
    assert "stack=FileRef(frames.h5)" in text
    assert "composition" not in text  # None
    assert text.count("\n") < LINES
    assert max(map(len, text.splitlines())) <= WIDTH


def test_a_document_of_many_fields_is_cut() -> None:
    fields = {f"field_{number}": "x" * 90 for number in range(40)}
    many = type("Many", (Document,), {"__annotations__": dict.fromkeys(fields, str)})(**fields)
    assert len(repr(many).splitlines()) == LINES
    assert "  ...\n)" in repr(many)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(max_size=200), inner),
        max_leaves=30,
    )
)
def test_no_value_is_longer_than_a_line(value: object) -> None:
    assert len(brief(value)) <= VALUE_WIDTH


def test_of_what_is_cut_the_length_is_said() -> None:
    assert brief(tuple(float(i) for i in range(100))).endswith(", ... 100 in all)")
    assert brief((Frame(number=0, angle_deg=0, width_deg=0, counts=0),) * 3) == "(3 of Frame)"
    assert brief((1.0,)) == "(1,)"
    assert brief(0.1 + 0.2) == "0.3"


@pytest.fixture
def merged() -> Merged:
    hkl = np.array([[1, 0, 0], [0, 2, 0], [1, 2, 3]], dtype=np.int32)
    return Merged(hkl, np.array([5.0, 3.0, 1.0]), np.array([0.5, 0.3, 0.1]), np.array([1, 2, 1], dtype=np.int32))


def test_intensities_are_attributes_of_their_document(tmp_path: Path, merged: Merged) -> None:
    data: Reflections = reflections_document(
        tmp_path, name="x", merged=merged, cell=CELL, laue="P 1 2/m 1", radiation="electron"
    )
    assert np.array_equal(data.hkl, merged.hkl)
    assert np.array_equal(data.intensity, merged.intensity)
    assert np.array_equal(data.sigma, merged.sigma)
    assert np.array_equal(data.unique_reflections.multiplicity, merged.multiplicity)
    assert data.observations.intensity.shape == (3,)


def test_arrays_are_read_anew_from_a_changed_document(tmp_path: Path, merged: Merged) -> None:
    """What was read is not carried along when a document is copied with another file in it."""
    kind = {"cell": CELL, "laue": "P 1 2/m 1", "radiation": "electron"}
    one = reflections_document(tmp_path / "one", name="one", merged=merged, **kind)
    doubled = merged._replace(intensity=2 * merged.intensity)
    two = reflections_document(tmp_path / "two", name="two", merged=doubled, **kind)
    assert one.intensity[0] == 5.0
    assert one.model_copy(update={"merged": two.merged}).intensity[0] == 10.0


def test_pictures_are_attributes_of_their_document(tmp_path: Path) -> None:
    from tasks.frames.stack import write_stack

    images = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)
    mask = np.arange(12).reshape(3, 4) > 0
    stack = write_stack(tmp_path / "stack.h5", iter(images), count=2, mask=mask, dtype=np.uint16)
    series = FrameSeries(
        id="crystal-01",
        sample="x",
        composition=None,
        beam=Beam(energy_kev=300),
        detector=Detector(name="d", shape_px=(3, 4), pixel_size_mm=0.01, camera_length_mm=100),
        direct_beam_px=(1, 1),
        rotation_axis=(1, 0, 0),
        frames=tuple(Frame(number=i, angle_deg=2.0 * i, width_deg=0, counts=1) for i in range(2)),
        stack=stack,
        provenance=Provenance(engine="test", version="1"),
    )
    assert np.array_equal(series.images, images)
    assert np.array_equal(series.mask, mask)
    assert series.angle_deg.tolist() == [0.0, 2.0]


def test_masks_are_attributes_of_their_document(tmp_path: Path) -> None:
    import h5py

    from tasks.apertures import ApertureSet, CrystalAperture

    masks = np.zeros((2, 4, 5), dtype=bool)
    masks[0, 1, 2] = True
    with h5py.File(tmp_path / "crystal-01.h5", "w") as file:
        file["masks"], file["tilt_deg"] = masks, np.array([0.0, 1.0])
    reference = FileRef.of(tmp_path / "crystal-01.h5")
    crystal = CrystalAperture(id="crystal-01", origin="user", masks=reference, positions_per_tilt=(1, 0))
    made = Provenance(engine="test", version="1")
    found = ApertureSet(tilt_deg=(0, 1), scan_shape=(4, 5), crystals=(crystal,), maps=reference, provenance=made)
    assert np.array_equal(crystal.positions, masks)
    assert np.array_equal(found.masks["crystal-01"], masks)
