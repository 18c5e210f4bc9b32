"""CIFs of a deposit: SHELXL's checksums, data that is read back as it was, items that imgCIF knows."""

from pathlib import Path

import gemmi
import numpy as np
import pytest

from adapters.formats.cif_reflections import read_cif_reflections
from adapters.formats.deposit_cif import cif_with_data, frames_cif, shelx_checksum
from adapters.formats.hklf4 import parse_hklf
from tasks.integrate import hklf4_text
from tasks.model import FileRef, SourceError
from tests.synthetic.bare_frames import AXIS, BEAM_PX, LENGTH_MM, PIXEL_MM, frames_at


@pytest.mark.needs_shared
@pytest.mark.parametrize("name", ["l-alanine/iam.cif", "sucrose/DK_Zucker2_0m.cif"])
def test_the_checksum_is_that_of_shelxl(shared_data: Path, name: str) -> None:
    block = gemmi.cif.read(str(shared_data / name)).sole_block()
    for kind in ("res", "hkl"):
        text = gemmi.cif.as_string(block.find_value(f"_shelx_{kind}_file"))
        assert shelx_checksum(text) == int(block.find_value(f"_shelx_{kind}_checksum"))


def test_instructions_and_intensities_inside_are_read_back_as_they_were(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    hkl = np.unique(rng.integers(-9, 10, (200, 3)), axis=0).astype(np.int32)
    hkl = hkl[hkl.any(axis=1)]
    text = hklf4_text(hkl, rng.normal(100, 300, len(hkl)), rng.uniform(1, 9, len(hkl)))
    instructions = "TITL a\nREM next line begins a text field of CIF\n;\nHKLF 4\nEND\n"
    whole = cif_with_data("data_a\n_cell_length_a 5.0\n", instructions=instructions, reflections=text, name="a")
    (tmp_path / "a.cif").write_text(whole)

    inside, beside = read_cif_reflections(tmp_path / "a.cif").data, parse_hklf(text, "a.hkl").data
    for name in ("hkl", "intensity", "sigma", "crystal"):
        np.testing.assert_array_equal(getattr(inside, name), getattr(beside, name))
    block = gemmi.cif.read(str(tmp_path / "a.cif")).sole_block()
    assert gemmi.cif.as_string(block.find_value("_shelx_res_file")).split() == instructions.split()
    for kind in ("res", "hkl"):
        inner = gemmi.cif.as_string(block.find_value(f"_shelx_{kind}_file"))
        assert shelx_checksum(inner) == int(block.find_value(f"_shelx_{kind}_checksum"))
    assert block.find_value("_cell_length_a") == "5.0"


def test_a_damaged_cif_is_a_typed_error() -> None:
    with pytest.raises(SourceError, match="crystal-01: the CIF of the refinement is damaged"):
        cif_with_data("data_a\n_cell_length_a\n", instructions="", reflections="", name="crystal-01")


@pytest.fixture
def frames(tmp_path: Path) -> gemmi.cif.Block:
    (tmp_path / "s.h5").write_bytes(b"never opened")
    series = frames_at(np.array([-10.5, 0.0, 3.25]), FileRef.of(tmp_path / "s.h5"))
    return gemmi.cif.read_string(frames_cif(series)).sole_block()


def test_angles_beam_and_detector_are_those_of_the_series(frames: gemmi.cif.Block) -> None:
    angles = frames.find("_diffrn_scan_frame_axis.", ["frame_id", "axis_id", "angle", "angle_increment"])
    assert [list(row) for row in angles] == [
        ["1", "OMEGA", "-10.5", "0"],
        ["2", "OMEGA", "0", "0"],
        ["3", "OMEGA", "3.25", "0"],
    ]
    columns = ["id", "vector[1]", "vector[2]", "vector[3]", "offset[1]", "offset[2]", "offset[3]"]
    axes = {row[0]: [float(x) for x in list(row)[1:]] for row in frames.find("_axis.", columns)}
    assert axes["OMEGA"][:3] == pytest.approx(AXIS)
    first = np.array(axes["ELEMENT_1"][3:])
    pixel = np.array([axes["ELEMENT_1"][:3], axes["ELEMENT_2"][:3]]) * PIXEL_MM
    beam = first + BEAM_PX[1] * pixel[0] + BEAM_PX[0] * pixel[1]
    assert beam == pytest.approx([0, 0, -LENGTH_MM], abs=1e-9)


@pytest.mark.needs_shared
def test_every_item_is_in_a_dictionary(frames: gemmi.cif.Block, shared_data: Path) -> None:
    known = "".join(
        (shared_data / "cif-dictionaries" / name).read_text(encoding="utf-8", errors="replace").lower()
        for name in ("cif_img.dic", "cif_core.dic")
    )
    tags = [tag for item in frames for tag in (item.loop.tags if item.loop else [item.pair[0]])]
    assert len(tags) > 30
    assert [tag for tag in tags if f"_definition.id '{tag}'" not in " ".join(known.split())] == []
