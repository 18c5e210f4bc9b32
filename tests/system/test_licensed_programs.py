"""XDS and SHELX themselves, on real electron diffraction data, where they are installed."""

import shutil
import tarfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

from adapters.formats.read_intensities import reflections_from_file
from adapters.formats.shelx_ins import read_shelx
from adapters.host.runner import run_program
from adapters.programs.export import export_shelx, export_xds
from adapters.programs.shelx.refine_engine import ShelxlRefiner
from adapters.programs.shelx.solve_engine import ShelxdSolver, ShelxsSolver, ShelxtSolver
from adapters.programs.xds.engine import XdsIntegrator
from tasks.frames.models import Frame, FrameSeries
from tasks.integrate.models import Reflections
from tasks.model import Beam, Composition, Detector, FileRef, UnitCell
from tasks.model.provenance import Provenance
from tasks.solve.models import Atom, Solution
from tests.synthetic.match_structure import match_structure
from tests.synthetic.solve_cases import from_res

pytestmark = pytest.mark.needs_shared

CELL = UnitCell(a=10.732, b=7.283, c=11.107, alpha=90, beta=108.06, gamma=90)
RUN = Path("cinchonine/DemoData/Cinchonine")
CONTENTS = Composition.parse("C19 H22 N2 O")
TYROSINE = UnitCell(a=6.008, b=7.025, c=21.69, alpha=90, beta=90, gamma=90)
START_DEG, WIDTH_DEG = -50.46, 0.2522


@pytest.fixture(scope="module")
def cinchonine(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> FrameSeries:
    """Return images 5 to 403 of the real series, as the published run of XDS took them."""
    folder = tmp_path_factory.mktemp("cinchonine")
    with tarfile.open(shared_data / "cinchonine/diff_corr_405_tif.tar.xz") as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # none in Debian 12's Python
        archive.extractall(folder)
    numbers = range(5, 404)
    stack = folder / "stack.h5"
    images = np.stack([tifffile.imread(folder / "diff_corr" / f"{n:04d}.tif") for n in numbers])
    with h5py.File(stack, "w") as file:
        file["frames"] = images
        file["mask"] = np.ones(images.shape[1:], dtype=bool)
    return FrameSeries(
        id="crystal-01",
        sample="cinchonine",
        composition="C19 H22 N2 O",
        beam=Beam(energy_kev=200.0),
        detector=Detector(name="Cheetah", shape_px=images.shape[1:], pixel_size_mm=0.055, camera_length_mm=436.1),
        direct_beam_px=(253.6, 256.4),
        rotation_axis=(0.7933, 0.6088, 0.0),
        frames=tuple(
            Frame(number=i, angle_deg=START_DEG + n * WIDTH_DEG, width_deg=WIDTH_DEG, counts=float(image.sum()))
            for i, (n, image) in enumerate(zip(numbers, images, strict=True))
        ),
        stack=FileRef.of(stack),
        gain=16.0,
        saturation=65535.0,
        provenance=Provenance(engine="test", version="1"),
    )


@pytest.mark.needs_xds
def test_xds_integrates_the_real_series(cinchonine: FrameSeries, tmp_path: Path) -> None:
    work = tmp_path / "xds"
    work.mkdir()
    found = XdsIntegrator(d_min_angstrom=1.0).integrate(cinchonine, work)
    assert found.unit_cell.parameters == pytest.approx(CELL.parameters, rel=0.02)
    assert (found.laue_group, found.space_group) == ("P 1 2/m 1", "P 1 21 1")
    assert not found.axis_test.reversed
    assert found.overall.cc_half > 0.9


@pytest.mark.needs_xds
def test_the_folder_exported_for_xds_runs_as_it_stands(cinchonine: FrameSeries, tmp_path: Path) -> None:
    export_xds(cinchonine, tmp_path / "export", d_min_angstrom=1.0)
    run_program(["xds"], workdir=tmp_path / "export", timeout_s=1800)
    assert (tmp_path / "export" / "CORRECT.LP").is_file()


@pytest.fixture
def tyrosine(shared_data: Path, tmp_path: Path) -> Reflections:
    (tmp_path / "data").mkdir()
    return reflections_from_file(
        shared_data / "tyrosine/2.hkl", cell=TYROSINE, energy_kev=200, workdir=tmp_path / "data"
    )


@pytest.mark.needs_shelx
@pytest.mark.parametrize("solver", [ShelxtSolver(), ShelxsSolver(), ShelxdSolver()], ids=lambda solver: solver.engine)
def test_tyrosine_is_solved(
    shared_data: Path, tyrosine: Reflections, tmp_path: Path, solver: ShelxtSolver | ShelxsSolver | ShelxdSolver
) -> None:
    if shutil.which(solver.engine) is None:
        pytest.skip(f"{solver.engine} is not installed")
    found = solver.solve(tyrosine, Composition.parse("C9 H11 N O3"), tmp_path / "work")
    published = from_res(shared_data / "tyrosine/2.ins", "P 21 21 21")
    assert match_structure(found.best, published, cell=tyrosine.unit_cell).fraction >= 0.8


@pytest.mark.needs_shelx
def test_the_folder_exported_for_shelx_runs_as_it_stands(tyrosine: Reflections, tmp_path: Path) -> None:
    if shutil.which("shelxt") is None:
        pytest.skip("shelxt is not installed")
    export_shelx(tyrosine, Composition.parse("C9 H11 N O3"), tmp_path / "export")
    run_program(["shelxt", "job"], workdir=tmp_path / "export", timeout_s=600)
    assert list((tmp_path / "export").glob("job_*.res"))


@pytest.mark.needs_shelx
def test_cinchonine_refines_to_the_published_figures(shared_data: Path, tmp_path: Path) -> None:
    """From the published atoms without hydrogen; SHELXL gave R1 0.1765."""
    for name in ("data", "work"):
        (tmp_path / name).mkdir()
    data = reflections_from_file(
        shared_data / RUN / "shelxl/shelxl.hkl",
        cell=CELL,
        space_group="P 21",
        energy_kev=200,
        workdir=tmp_path / "data",
    )
    model = Solution(
        space_group="P 1 21 1",
        hall="P 2yb",
        unit_cell=CELL,
        atoms=tuple(
            Atom(label=atom.name, element=atom.element, position=atom.position)
            for atom in read_shelx(shared_data / RUN / "shelxl/shelxl.res").atoms
        ),
        r1=0.3,
        verdict="solved",
    )
    found = ShelxlRefiner().refine(data, model, CONTENTS, tmp_path / "work")
    assert found.converged
    assert found.r1 < 0.185
    assert any(atom.element == "H" and atom.riding for atom in found.atoms)
