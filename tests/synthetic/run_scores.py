"""A finished run of a simulated series, judged by its truth."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import gemmi
import h5py
import numpy as np

from tasks.apertures.models import ApertureSet
from tasks.integrate.models import CombinedSets, Reflections
from tasks.refine.models import Refinement
from tasks.simulate.models import Structure
from tasks.stage import read_document
from tests.synthetic.aperture_scores import Scores, masks_of_set, score_apertures
from tests.synthetic.diffracting_cluster import Truth
from tests.synthetic.intensity_scores import settings_of
from tests.synthetic.match_any_cell import match_file
from tests.synthetic.series_truth import Unique, laue_of, unique_truth
from tests.synthetic.solve_cases import Published, representatives

FOUND = 0.8
"""Of the non-hydrogen atoms: the rule of `tests.benchmarks.solve`."""
STRONGEST = 10
SHELLS = 4
NOTHING = 1e-6
"""Of the strongest reflection: what is below is absent."""


class IntensityScore(NamedTuple):
    """Merged intensities against the truth, on the scale that fits all of them best."""

    correlation: float
    r_value: float
    """Sum of |I - k T| over the sum of k T."""
    strongest: float
    """The largest |I / (k T) - 1| of the ten strongest of the truth that were measured."""
    spread: tuple[float, ...]
    """Root mean square of (I - k T) / sigma by shell, low resolution first."""
    measured: float
    """Part of the truth's unique reflections to the same resolution that is there."""


class CrystalScore(NamedTuple):
    """One crystal, or a merged set."""

    name: str
    verdict: str
    right: bool
    group: str
    cell_error: float
    """Cube root of the volume over the true one, less 1; NaN without a cell."""
    intensities: IntensityScore | None
    r1: float
    extinction: float
    words: str


def true_intensities(reflections: Reflections, structure: Structure, truth: Unique) -> tuple[float, np.ndarray]:
    """Return correlation with, and values of, the truth in the setting that agrees best; -2 for another lattice."""
    merged = reflections.unique_reflections
    table = {tuple(row): value for row, value in zip(truth.hkl.tolist(), truth.value, strict=True)}
    best, expected = -2.0, np.zeros(0)
    for matrix in settings_of(reflections.unit_cell, structure.cell):
        rows = representatives(np.rint(merged.hkl @ matrix.T).astype(int), laue_of(structure)).tolist()
        values = np.array([table.get(tuple(row), 0.0) for row in rows])
        agreement = float(np.corrcoef(values, merged.intensity)[0, 1])
        if agreement > best:
            best, expected = agreement, values
    return best, expected


def score_intensities(reflections: Reflections, structure: Structure, truth: Unique) -> IntensityScore | None:
    """Compare in the setting of the cell that agrees best; None if the lattice is another one."""
    merged = reflections.unique_reflections
    best, expected = true_intensities(reflections, structure, truth)
    if not len(expected):
        return None
    inverse = np.array(reflections.unit_cell.gemmi().frac.mat.tolist())
    order = np.argsort(np.linalg.norm(merged.hkl @ inverse, axis=1))
    scale = (merged.intensity * expected).sum() / (expected**2).sum()
    middle = _middle_scale(merged.intensity, expected)
    off = (merged.intensity - scale * expected) / merged.sigma
    strong = np.argsort(-expected)[:STRONGEST]
    inner = structure.cell.gemmi().calculate_d_array(truth.hkl) >= 0.999 * reflections.d_min_angstrom
    allowed = inner & (truth.value > NOTHING * truth.value.max())
    return IntensityScore(
        correlation=best,
        r_value=float(np.abs(merged.intensity - scale * expected).sum() / (scale * expected).sum()),
        strongest=float(np.abs(merged.intensity[strong] / (middle * expected[strong]) - 1).max()),
        spread=tuple(float(np.sqrt((off[rows] ** 2).mean())) for rows in np.array_split(order, SHELLS)),
        measured=float((expected > NOTHING * truth.value.max()).sum() / allowed.sum()),
    )


def _middle_scale(intensity: np.ndarray, expected: np.ndarray) -> float:
    """Return the scale of the reflections between the tenth and the two hundredth: what the strongest stand beside."""
    rows = np.argsort(-expected)[STRONGEST : 20 * STRONGEST]
    return float(intensity[rows].sum() / expected[rows].sum())


def score_run(source: Path, run: Path, structure: Structure) -> list[CrystalScore]:
    """Return a row for every crystal and merged set of a finished run."""
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    found = [*results["crystals"], *([results["merged"]] if results.get("merged") else [])]
    owners = _owners(source, run)
    return [
        _score_crystal(row, run, structure, unique_truth(source, structure, owners.get(row["id"]))) for row in found
    ]


def _owners(source: Path, run: Path) -> dict[str, int]:
    """Return the crystal of the truth that holds most of each aperture."""
    if not (run / "apertures/document.json").is_file():
        return {}
    apertures = read_document(run / "apertures", ApertureSet)
    with h5py.File(source / "truth/truth.h5") as file:
        inside = file["thickness_nm"][()] > 0
    masks = masks_of_set(apertures)
    return {
        one.id: int((mask[..., None] & inside).sum(axis=(0, 1, 2)).argmax())
        for one, mask in zip(apertures.crystals, masks, strict=True)
    }


def _score_crystal(row: dict[str, Any], run: Path, structure: Structure, truth: Unique) -> CrystalScore:
    cluster = row["id"].startswith("cluster")
    folder = run / ("merged" if cluster else "crystals") / row["id"]
    reflections = _merged_set(run, row["id"]) if cluster else _document(folder / "integrate", Reflections)
    refinement = _document(folder / "refine", Refinement)
    right = False
    if refinement is not None:
        match = match_file(Path(refinement.cif.path), published(structure), structure.cell)
        right = match.fraction >= FOUND
    cell_error = float("nan")
    if reflections is not None:
        volume = reflections.unit_cell.gemmi().volume
        ratios = [volume / structure.cell.gemmi().volume * factor for factor in (1, 2, 4, 3, 1 / 2, 1 / 4, 1 / 3)]
        cell_error = min((ratio ** (1 / 3) - 1 for ratio in ratios), key=abs)
    return CrystalScore(
        name=row["id"],
        verdict=row["status"],
        right=right,
        group=refinement.space_group if refinement else reflections.space_group if reflections else "-",
        cell_error=cell_error,
        intensities=score_intensities(reflections, structure, truth) if reflections is not None else None,
        r1=refinement.r1 if refinement else float("nan"),
        extinction=(refinement.extinction or 0.0) if refinement else float("nan"),
        words=_words(row),
    )


def _merged_set(run: Path, name: str) -> Reflections | None:
    sets = [cluster.merged for cluster in read_document(run / "merged/combine", CombinedSets).clusters]
    return next((data for data in sets if data is not None and data.id == name), None)


def _words(row: dict[str, Any]) -> str:
    """Return why a crystal is not solved, else what the run warns of."""
    warnings = [text for stage in ("integration", "refinement") for text in (row.get(stage) or {}).get("warnings", ())]
    return str(row.get("reason") or "; ".join(warnings))


def _document(folder: Path, kind: type) -> Any:
    return read_document(folder, kind) if (folder / "document.json").is_file() else None


def published(structure: Structure) -> Published:
    """Return the structure as the matcher takes it, without hydrogen."""
    heavy = [atom for atom in structure.atoms if atom.element not in {"H", "D"}]
    group = gemmi.find_spacegroup_by_ops(structure.group)
    return Published(tuple(atom.element for atom in heavy), np.array([atom.position for atom in heavy]), group)


def score_positions(source: Path, run: Path) -> Scores | None:
    """Return how the apertures lie on the truth's crystals; None if there are none."""
    if not (run / "apertures/document.json").is_file():
        return None
    apertures = read_document(run / "apertures", ApertureSet)
    with h5py.File(source / "truth/truth.h5") as file:
        thickness = np.moveaxis(file["thickness_nm"][()], -1, 1)
        steps = json.loads(file.attrs["settings"])["instrument"]["step_nm"]
        drift = file["drift_nm"][()] / steps
    parents = tuple(range(thickness.shape[1]))
    return score_apertures(apertures, Truth(thickness / steps, drift, parents))
