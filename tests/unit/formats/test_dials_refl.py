"""DIALS reflection tables: the outline without DIALS, the intensities by its own export."""

import json
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest

from adapters.formats.dials_experiments import read_experiments, write_without_files
from adapters.formats.dials_refl import MARK
from adapters.formats.inspect_file import inspect_file
from adapters.formats.messagepack_outline import read_outline
from adapters.formats.read_intensities import read_intensity_file
from adapters.formats.reflection_formats import read_with
from tasks.model import ProgramNotFoundError, SourceError
from tests.synthetic import dials_table

STATES = {
    "scaled": "scaled intensities",
    "integrated": "integrated intensities, not scaled",
    "indexed": "indexed spots, not integrated",
    "strong": "found spots, not indexed",
}
EXPERIMENTS = {
    "__id__": "ExperimentList",
    "experiment": [{"__id__": "Experiment"}],
    "imageset": [{"template": "x_####.cbf", "mask": "/etc/passwd", "gain": None}],
    "beam": [{"wavelength": 0.0251, "probe": "electron"}],
    "crystal": [
        {
            "real_space_a": [5, 0, 0],
            "real_space_b": [0, 6, 0],
            "real_space_c": [-1, 0, 7],
            "space_group_hall_symbol": "P 2y",
        }
    ],
}


def text(value: str) -> bytes:
    return bytes([0xA0 + len(value)]) + value.encode()


def column(name: str, kind: str, rows: int, width: int) -> bytes:
    block = b"\xc6" + struct.pack(">I", rows * width) + bytes(rows * width)
    return text(name) + b"\x92" + text(kind) + b"\x92" + bytes([rows]) + block


def table(*columns: bytes, rows: int = 3) -> bytes:
    head = MARK + b"\x01\x83" + text("identifiers") + b"\x81\x00" + text("one") + text("nrows") + bytes([rows])
    return head + text("data") + bytes([0x80 + len(columns)]) + b"".join(columns)


SCALED = table(column("miller_index", "int3", 3, 12), column("intensity.scale.value", "double", 3, 8))


def test_the_outline_skips_the_values(tmp_path: Path) -> None:
    (tmp_path / "a.refl").write_bytes(SCALED)
    outline = read_outline(tmp_path / "a.refl")
    assert outline.rows == 3
    assert outline.columns == {"miller_index": "int3", "intensity.scale.value": "double"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (SCALED[:-3], "a column of 24 bytes, more than follow"),
        (SCALED[:60], "ends early|more than follow|begins no value"),
        (MARK + b"\x01\xc1", "0xc1 begins no value"),
        (MARK + b"\x01" + b"\x91" * 40, "nested too deeply"),
        (MARK + b"\x01\xdf\xff\xff\xff\xff", "a list of 4294967295 items"),
        (MARK + b"\x01\xdb\xff\xff\xff\xff", "a name of 4294967295 bytes"),
        (MARK + b"\x01\x80", "no number of rows"),
        (b"\x80\x02cdials", "a pickle of an old DIALS"),
        (b"hello", "is no reflection table"),
    ],
)
def test_a_damaged_table_is_named_and_no_pickle_is_opened(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.refl").write_bytes(content)
    with pytest.raises(SourceError, match=message):
        inspect_file(tmp_path / "a.refl")


def test_crystal_and_beam_come_from_the_experiments_beside_it(tmp_path: Path) -> None:
    (tmp_path / "a.refl").write_bytes(SCALED)
    assert inspect_file(tmp_path / "a.refl").lacks == ("experiments (a.expt)", "composition")
    with pytest.raises(SourceError, match=r"a\.expt, which is not beside it"):
        read_intensity_file(tmp_path / "a.refl")
    (tmp_path / "a.expt").write_text(json.dumps(EXPERIMENTS))
    found = inspect_file(tmp_path / "a.refl")
    assert found.lacks == ("composition",)
    assert found.metadata["state"] == STATES["scaled"]
    assert found.metadata["unit_cell"] == pytest.approx([5, 6, 50**0.5, 90, 98.1301, 90], abs=1e-4)
    assert (found.metadata["space_group"], found.metadata["radiation"]) == ("P 1 2 1", "electron")
    assert read_with(tmp_path / "a.refl") == (tmp_path / "a.refl", tmp_path / "a.expt")


def test_files_that_experiments_name_are_dropped(tmp_path: Path) -> None:
    (tmp_path / "a.expt").write_text(json.dumps(EXPERIMENTS))
    write_without_files(tmp_path / "a.expt", tmp_path / "b.expt")
    assert "passwd" not in (tmp_path / "b.expt").read_text()
    assert read_experiments(tmp_path / "b.expt") == read_experiments(tmp_path / "a.expt")


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "not valid JSON"), ("[]", "no experiments of DIALS"), ('{"__id__": "x"}', "no experiments of DIALS")],
)
def test_experiments_that_are_none_are_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "a.expt").write_text(content)
    with pytest.raises(SourceError, match=message):
        read_experiments(tmp_path / "a.expt")


def test_without_dials_the_error_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.refl").write_bytes(SCALED)
    (tmp_path / "a.expt").write_text(json.dumps(EXPERIMENTS))
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ProgramNotFoundError, match=r"dials\.export") as caught:
        read_intensity_file(tmp_path / "a.refl")
    assert "format=mtz" in caught.value.advice


@pytest.fixture(scope="module")
def written_by_dials(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("a = b")
    python = next(name for name in ("dials.python", "dxtbx.python") if shutil.which(name))
    subprocess.run([python, dials_table.__file__, str(folder), *STATES], check=True, capture_output=True)
    return folder


@pytest.mark.needs_dials
def test_what_dials_wrote_is_described_without_it(written_by_dials: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    for state, words in STATES.items():
        found = inspect_file(written_by_dials / f"{state}.refl")
        assert found.metadata["state"] == words
        assert found.metadata["number_of_reflections"] == len(dials_table.INDICES)
        assert found.metadata["unit_cell"] == pytest.approx([*dials_table.CELL, 90, 90, 90], abs=1e-9)
        assert ("intensities" in found.lacks) == (state in {"indexed", "strong"})


@pytest.mark.needs_dials
def test_intensities_come_back_from_the_export_exactly(written_by_dials: Path) -> None:
    table = read_intensity_file(written_by_dials / "scaled.refl")
    assert {tuple(hkl) for hkl in table.data.hkl.tolist()} == set(dials_table.INDICES)
    assert table.data.intensity.tolist() == [dials_table.intensity(*hkl) for hkl in table.data.hkl.tolist()]
    assert np.unique(table.data.sigma).tolist() == [2.0]
    assert len(np.unique(table.data.crystal)) == 100
    assert (table.wavelength_angstrom, table.probe, table.space_group) == (0.0251, "electron", "P 2 2 2")


@pytest.mark.needs_dials
@pytest.mark.parametrize("state", ["indexed", "strong"])
def test_a_table_without_intensities_is_named(written_by_dials: Path, state: str) -> None:
    with pytest.raises(SourceError, match=STATES[state]):
        read_intensity_file(written_by_dials / f"{state}.refl")
