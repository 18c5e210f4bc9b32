"""A run's outcome with something of everything: solved, unsolved and unindexed crystals, and a merged set.

The numbers are made up for the report's tests; the pictures come from the forward model.
"""

from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from tasks.apertures.models import ApertureSet, CrystalAperture
from tasks.ingest.models import LostScan
from tasks.integrate.models import AxisTest, Reflections, ShellStatistics, SpaceGroupCandidate
from tasks.integrate.reflection_file import Merged, Unmerged, write_reflections
from tasks.model import FileRef
from tasks.model.provenance import Attempt, Provenance
from tasks.refine.alerts.alert import raised
from tasks.refine.models import RefinedAtom, Refinement
from tasks.report.models import ApertureGain, ApertureQuality, CrystalOutcome, Failure, RunOutcome, SourceSummary
from tasks.simulate.demo_structure import uio66
from tasks.simulate.diffraction import Projection, Rocking, excited_reflections
from tasks.simulate.exposure import expose
from tasks.simulate.lattice import rotation_about
from tasks.simulate.models import Instrument, ScatteringPlan, SimulationSettings, Structure, TiltPlan
from tasks.simulate.specimen import prepare_specimen
from tasks.solve.models import Atom, Solution, Solutions, SpaceGroupTrial
from tests.synthetic.frame_series import DETECTOR, SyntheticSeries, synthetic_frame_series
from tests.synthetic.worst_reflections import example_worst

MADE = Provenance(engine="embedded", version="0.1.0", parameters={"d_min_angstrom": 0.8}, seed=11)


class _Maps(NamedTuple):
    tilts: NDArray[np.float64]
    counts: NDArray[np.float32]
    thickness: NDArray[np.float64]


def example_outcome(folder: Path, *, structure: Structure | None = None, tilts: int = 13) -> RunOutcome:
    """Return an outcome whose files lie in `folder`."""
    structure = structure or uio66()
    maps = _maps(structure, tilts)
    apertures = _apertures(folder, maps)
    frames = synthetic_frame_series(structure, maps.tilts, folder, seed=3)
    data = _reflections(folder, frames, "crystal-01")
    solutions = _solutions(structure)
    first = CrystalOutcome(
        id="crystal-01",
        aperture=apertures.crystals[0],
        frames=frames.series,
        reflections=data,
        solutions=solutions,
        refinement=example_refinement(folder, structure, "crystal-01"),
        worst=example_worst("crystal-01"),
        gain=ApertureGain(
            d_min_angstrom=0.9,
            chosen=_quality(positions=1200, cc_half=0.9987, r1=0.0312),
            all_positions=_quality(positions=1800, cc_half=0.9812, r1=0.0745),
        ),
    )
    second = first.model_copy(
        update={
            "id": "crystal-02",
            "aperture": apertures.crystals[1],
            "refinement": None,
            "worst": None,
            "failure": Failure(
                stage="refine",
                code="S404",
                message="least squares ran away: shift/esd 81 after 12 cycles",
                advice="give the composition, or start from the second candidate",
            ),
        }
    )
    third = CrystalOutcome(
        id="crystal-03",
        aperture=apertures.crystals[2],
        frames=frames.series,
        failure=Failure(
            stage="integrate", code="S402", message="no lattice explains the 41 spots", advice="give a known cell"
        ),
    )
    merged = CrystalOutcome(
        id="merged-01",
        reflections=data.model_copy(update={"id": "merged-01", "members": ("crystal-01", "crystal-02")}),
        solutions=solutions,
        refinement=example_refinement(folder, structure, "merged-01"),
        worst=example_worst("crystal-02", reflections=3),
    )
    return RunOutcome(
        source=_source(structure, maps),
        apertures=apertures,
        crystals=(first, second, third),
        merged=merged,
        settings_changed={"apertures.max_crystals": 4, "integrate.d_min_angstrom": 0.8},
        versions={"apertura": "0.1.0", "dials": "3.12.1", "python": "3.11.7"},
        timings_s={"ingest": 21.4, "apertures": 14.0, "frames": 8.2, "integrate": 310.5, "solve": 44.1, "refine": 21.0},
        notes=("crystal-04 overlaps crystal-01 at every tilt and was left out",),
    )


def _quality(*, positions: int, cc_half: float, r1: float) -> ApertureQuality:
    return ApertureQuality(
        positions=positions, observations=9000, unique=700, completeness=0.981, i_over_sigma=21.5, cc_half=cc_half,
        r_meas=0.08, r1=r1, r1_all=r1 + 0.01,
    )  # fmt: skip


def _maps(structure: Structure, tilts: int) -> _Maps:
    settings = SimulationSettings(
        seed=2,
        tilts=TiltPlan(angles_deg=tuple(np.linspace(-60, 60, tilts).tolist())),
        instrument=Instrument(flyback_columns=0),
        scattering=ScatteringPlan(d_min_angstrom=1.5, electrons_per_pattern=40),
    )
    specimen = prepare_specimen(structure, settings)
    scans = [expose(specimen, index) for index in range(tilts)]
    counts = np.array([scan.bragg_fraction.sum(axis=0) for scan in scans], dtype=np.float32)
    thickness = np.array([scan.thickness_nm for scan in scans])
    whole = np.stack([thickness[:, 0] + thickness[:, 1], thickness[:, 2], thickness[:, 3]], axis=1)
    return _Maps(specimen.tilts.recorded_deg, counts, whole)


def _apertures(folder: Path, maps: _Maps) -> ApertureSet:
    crystals = []
    for number in range(maps.thickness.shape[1]):
        others = np.delete(maps.thickness, number, axis=1).sum(axis=1)
        masks = (maps.thickness[:, number] > 0) & (others == 0)
        path = folder / f"apertures-{number + 1}.h5"
        with h5py.File(path, "w") as file:
            file["masks"], file["tilt_deg"] = masks, maps.tilts
        crystals.append(
            CrystalAperture(
                id=f"crystal-{number + 1:02d}",
                origin="automatic",
                masks=FileRef.of(path),
                positions_per_tilt=tuple(masks.sum(axis=(1, 2)).tolist()),
            )
        )
    path = folder / "maps.h5"
    with h5py.File(path, "w") as file:
        for name in ("counts", "bragg", "dark_field"):
            file[name] = maps.counts
    return ApertureSet(
        tilt_deg=tuple(maps.tilts.tolist()),
        scan_shape=(64, 64),
        crystals=tuple(crystals),
        maps=FileRef.of(path),
        provenance=MADE,
    )


def _shell(d_max: float, d_min: float, quality: float) -> ShellStatistics:
    return ShellStatistics(
        d_max_angstrom=d_max,
        d_min_angstrom=d_min,
        observations=round(900 * quality),
        unique=120,
        completeness=0.9 * quality + 0.09,
        multiplicity=7.5 * quality,
        i_over_sigma=12 * quality**2,
        r_meas=0.2 / quality,
        r_pim=0.06 / quality,
        cc_half=1 - 0.05 / quality**2,
        cc_half_events=1 - 0.04 / quality**2,
    )


def _reflections(folder: Path, frames: SyntheticSeries, name: str) -> Reflections:
    rows = np.arange(0, len(frames.hkl), max(1, len(frames.hkl) // 500))
    hkl, intensity = frames.hkl[rows], frames.f_squared[rows]
    unmerged = Unmerged(hkl, intensity, 0.1 * intensity + 0.01, np.zeros(len(rows)), np.zeros(len(rows), np.int32))
    merged = Merged(hkl, intensity, 0.1 * intensity + 0.01, np.ones(len(rows), np.int32))
    (folder / f"{name}.hkl").write_text("   1   1   1   10.00    1.00\n   0   0   0    0.00    0.00\n")
    edges = np.linspace(0.01, 0.8**-3, 9) ** (-1 / 3)
    return Reflections(
        id=name,
        members=(name,),
        wavelength_angstrom=frames.series.beam.wavelength_angstrom,
        unit_cell=uio66().cell,
        unit_cell_esd=(0.004, 0.004, 0.004, 0.0, 0.0, 0.0),
        laue_group="F m -3 m",
        space_group="F m -3 m",
        candidates=(
            SpaceGroupCandidate(symbol="F m -3 m", hall="-F 4 2 3", score=8.1, reasons=("centric E statistics",)),
            SpaceGroupCandidate(symbol="F 4 3 2", hall="F 4 2 3", score=2.0, reasons=("chiral: rare",)),
        ),
        overall=_shell(20.0, 0.8, 0.8),
        shells=tuple(
            _shell(edges[i], edges[i + 1], quality) for i, quality in enumerate(np.linspace(1.0, 0.3, 8).tolist())
        ),
        indexed_fraction=0.962,
        spots=5213,
        axis_test=AxisTest(
            axis=(1.0, 0.0, 0.0),
            reversed=False,
            indexed_fraction=(0.962, 0.31),
            rmsd_px=(0.4, 2.9),
            verdict="the given sense of the axis indexes 96 % of the spots, the reverse 31 %",
        ),
        unmerged=write_reflections(unmerged, folder / f"{name}-unmerged.npz"),
        merged=write_reflections(merged, folder / f"{name}-merged.npz"),
        hklf4=FileRef.of(folder / f"{name}.hkl"),
        pictures=_pictures(folder / f"{name}-pictures.h5", frames),
        warnings=("sigmas were scaled by 1.3",),
        provenance=MADE.model_copy(
            update={
                "engine": "dials",
                "version": "3.12.1",
                "attempts": (Attempt(change="max_cell=60", reason="fft1d found no cell", outcome="indexed 96 %"),),
            }
        ),
    )


def _pictures(path: Path, frames: SyntheticSeries) -> FileRef:
    wavelength = frames.series.beam.wavelength_angstrom
    projection = Projection(wavelength, DETECTOR.camera_length_mm / DETECTOR.pixel_size_mm, np.eye(2))
    numbers, places, indices = [], [], []
    for place, frame in enumerate(frames.series.frames):
        q = frames.hkl @ (rotation_about((1, 0, 0), frame.angle_deg) @ frames.ub).T
        seen = excited_reflections(q, np.ones(len(q)), wavelength, Rocking(1500.0, 0.003, 0.0))
        numbers += [place] * len(seen.row)
        places.append(projection.offsets(seen.q_xy) + 287.5)
        indices.append(frames.hkl[seen.row])
    with h5py.File(path, "w") as file:
        file["frame"] = np.array(numbers)
        file["px"], file["hkl"] = np.concatenate(places), np.concatenate(indices)
    return FileRef.of(path)


def _solutions(structure: Structure) -> Solutions:
    atoms = tuple(
        Atom(label=atom.label, element=atom.element, position=atom.position, peak=30.0 - number)
        for number, atom in enumerate(structure.atoms)
    )
    best = Solution(
        space_group="F m -3 m",
        hall=structure.hall,
        unit_cell=structure.cell,
        atoms=atoms,
        r1=0.213,
        figures={"map correlation": 0.93, "flipping residual": 0.24},
        verdict="solved",
    )
    trials = (
        SpaceGroupTrial(symbol="F m -3 m", hall="-F 4 2 3", score=3.2, r1=0.213, phase_error_deg=12.1),
        SpaceGroupTrial(symbol="F 4 3 2", hall="F 4 2 3", score=1.1, r1=0.21, phase_error_deg=11.9, reasons=("same",)),
    )
    return Solutions(
        id="crystal-01",
        candidates=(best, best.model_copy(update={"verdict": "doubtful", "r1": 0.41})),
        space_groups=trials,
        trials=20,
        verdict="solved",
        margin="R1 0.20 below the runner-up",
        diagnosis=("|E^2 - 1| = 0.95: centric",),
        provenance=MADE,
    )


def example_refinement(folder: Path, structure: Structure, name: str) -> Refinement:
    """Return a refinement of a structure whose files lie in `folder`."""
    files = {}
    for suffix in ("cif", "res", "ins", "hkl", "fcf"):
        path = folder / f"{name}-refined.{suffix}"
        path.write_text(f"{name} {suffix}\n")
        files[suffix] = FileRef.of(path)
    atoms = tuple(
        RefinedAtom(
            label=atom.label,
            element=atom.element,
            position=atom.position,
            u_iso_angstrom2=atom.u_iso_angstrom2,
            riding=atom.element == "H",
        )
        for atom in structure.atoms
    )
    return Refinement(
        id=name,
        space_group="F m -3 m",
        hall=structure.hall,
        unit_cell=structure.cell,
        formula=structure.composition.formula(),
        atoms=atoms,
        r1=0.118,
        r1_all=0.131,
        wr2=0.302,
        goof=1.08,
        reflections=573,
        reflections_observed=480,
        parameters=27,
        shift_over_esd_max=0.002,
        density_max=0.31,
        density_min=-0.28,
        converged=True,
        verdict="solved",
        warnings=("C3: U(eq) is 2.1 times its neighbours'",),
        alerts=(
            raised("ADP01", "A", "displacement not positive definite, smallest principal value in A^2: C3 -0.0041"),
            raised("FIT01", "C", "R1 0.118 of the observed reflections (limit 0.1)", value=0.118, limit=0.1).model_copy(
                update={"explanation": "Electrons are scattered more than once."}
            ),
        ),
        provenance=MADE,
        **files,
    )


def _source(structure: Structure, maps: _Maps) -> SourceSummary:
    return SourceSummary(
        kind="tilt series",
        path="/data/cluster-3",
        sample=structure.name,
        composition=structure.composition.formula(),
        energy_kev=300.0,
        files=len(maps.tilts) + 1,
        counts_total=125_000_000,
        tilt_deg=tuple(maps.tilts.tolist()),
        lost=(LostScan(source="FOURD_00014.h5", tilt_deg=61.0, reason="truncated: 1024 of 4347600 bytes"),),
        metadata={"operator": "anybody"},
        sha256="0" * 64,
    )
