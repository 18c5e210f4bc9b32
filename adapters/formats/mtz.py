"""Reading MTZ files, merged or not, through gemmi."""

from itertools import pairwise
from pathlib import Path

import gemmi
import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from adapters.formats.file_format import SeveralBlocksError
from adapters.formats.intensity_table import LARGEST_INDEX, IntensityTable, Positions, observations, squared
from tasks.integrate import Unmerged
from tasks.model import SourceError, UnitCell

LARGEST_BATCH = 2**24
"""Up to here single precision holds whole numbers."""
BYTES_PER_VALUE = 4
"""MTZ stores single precision."""
PREFERRED = (("I", "SIGI"), ("IMEAN", "SIGIMEAN"), ("IPR", "SIGIPR"))


def read_mtz(path: Path, block: str | None = None) -> IntensityTable:
    """Read the intensities of an MTZ file; of several, those labelled I, IMEAN or IPR in this order.

    Without any, observed amplitudes (a column of type F before its sigma) are squared.

    Unmerged: original indices, ROT as angle, partial observations (odd M/ISYM flag) as they are, the batches in their
    order as crystals. Merged: mean intensities, or both of a Friedel pair if only they are there.

    Parameters
    ----------
    block
        Name of the crystal, of the data set, or CRYSTAL/DATASET; None: the only one with data.

    Raises
    ------
    SourceError
        If the file is damaged or holds no intensities, or several data sets hold some and none is named.
    """
    try:
        return _table(path, _opened(path), block)
    except UnicodeDecodeError as error:
        raise SourceError(f"{path}: a name in the header is no text: {error}", "copy the file again") from error


def _table(path: Path, mtz: gemmi.Mtz, block: str | None) -> IntensityTable:
    unmerged = any(column.label == "M/ISYM" for column in mtz.columns)
    if unmerged:
        try:
            mtz.switch_to_original_hkl()
        except (IndexError, RuntimeError) as error:
            raise SourceError(f"{path}: M/ISYM names a symmetry operation that the file lacks: {error}") from error
    dataset, rows = _chosen(path, mtz, block, unmerged=unmerged)
    data, warnings = _data(path, mtz, dataset, unmerged=unmerged)
    rows = np.resize(rows, len(data.intensity))  # twice as many where both of a Friedel pair are there
    good = rows & np.isfinite(data.intensity) & np.isfinite(data.sigma) & (data.sigma > 0)
    if not np.any(good):
        raise SourceError(f"{path}: no intensity has a positive sigma")
    if left_out := int(np.count_nonzero(rows & ~good)):
        warnings = (*warnings, f"{left_out} reflections left out: without a value or a positive sigma")
    if not good.all():
        data = Unmerged(
            data.hkl[good], data.intensity[good], data.sigma[good], data.angle_deg[good], data.crystal[good]
        )
    if (largest := max(int(data.hkl.max()), -int(data.hkl.min()))) > LARGEST_INDEX:
        raise SourceError(f"{path}: {largest} is no Miller index", "copy the file again")
    batches, crystal = _numbered(data.crystal)
    facts: list[tuple[str, JsonValue]] = [("block", _name(dataset)), ("unmerged", unmerged)]
    if len(batches) > 1:
        facts.append(("batches", len(batches)))
    cell = dataset.cell if dataset.cell.is_crystal() else mtz.cell
    return IntensityTable(
        data._replace(crystal=crystal),
        unit_cell=_unit_cell(path, cell),
        wavelength_angstrom=_wavelength(mtz, dataset),
        space_group=mtz.spacegroup.xhm() if mtz.spacegroup else None,
        warnings=warnings,
        facts=tuple(facts),
    )


def read_positions(path: Path) -> Positions:
    """Read the columns XDET, YDET (px from the corner) and ROT (degrees) of an unmerged file as DIALS writes it.

    Raises
    ------
    SourceError
        If the columns are not there.
    """
    mtz = gemmi.read_mtz_file(str(path))
    labels = {column.label for column in mtz.columns}
    if not labels.issuperset({"XDET", "YDET", "ROT", "M/ISYM"}):
        raise SourceError(f"{path}: has no positions of reflections (columns: {' '.join(sorted(labels))})")
    mtz.switch_to_original_hkl()
    return Positions(
        mtz.make_miller_array(), _column(mtz, "YDET") - 0.5, _column(mtz, "XDET") - 0.5, _column(mtz, "ROT")
    )


def _opened(path: Path) -> gemmi.Mtz:
    """Return the file, read only if it is as long as its header says: memory is taken for what that claims."""
    try:
        claims = gemmi.read_mtz_file(str(path), with_data=False)
        needed = BYTES_PER_VALUE * claims.nreflections * len(claims.columns)
        if not 0 <= needed <= path.stat().st_size:
            raise SourceError(
                f"{path}: the header of the MTZ file claims {claims.nreflections} reflections in {len(claims.columns)} "
                f"columns, more than its {path.stat().st_size} bytes hold",
                "copy the file again",
            )
        return gemmi.read_mtz_file(str(path))
    except (RuntimeError, OSError, ValueError, MemoryError) as error:
        raise SourceError(f"{path}: is no readable MTZ file: {error}", "copy the file again") from error


def _name(dataset: gemmi.Mtz.Dataset) -> str:
    return f"{dataset.crystal_name}/{dataset.dataset_name}"


def _chosen(
    path: Path, mtz: gemmi.Mtz, block: str | None, *, unmerged: bool
) -> tuple[gemmi.Mtz.Dataset, NDArray[np.bool_]]:
    """Return the data set that is meant, and which rows belong to it: all of a merged file."""
    everything = np.ones(mtz.nreflections, dtype=bool)
    of_row = _dataset_of_rows(mtz) if unmerged else None
    if of_row is not None:
        holding = [dataset for dataset in mtz.datasets if (of_row == dataset.id).any()]
    else:
        holding = [dataset for dataset in mtz.datasets if _has_intensities(mtz, dataset)] or [
            dataset for dataset in mtz.datasets if _amplitudes(mtz, dataset)
        ]
    if not holding:
        labels = " ".join(column.label for column in mtz.columns)
        raise SourceError(
            f"{path}: holds neither intensities nor amplitudes with sigmas (columns: {labels})",
            "give columns of type J or F, each followed by its sigma of type Q",
        )
    names = ", ".join(map(_name, holding))
    named = [one for one in holding if block in {None, _name(one), one.crystal_name, one.dataset_name}]
    if not named:
        raise SourceError(f"{path}: no crystal or data set {block!r} with reflections", f"there are: {names}")
    if len(named) > 1:
        raise SeveralBlocksError(
            f"{path}: several data sets hold reflections: {names}",
            "choose one: --block CRYSTAL/DATASET, or one of the two names where it tells them apart",
            tuple(map(_name, named)),
        )
    return named[0], everything if of_row is None else of_row == named[0].id


def _dataset_of_rows(mtz: gemmi.Mtz) -> NDArray[np.int64] | None:
    """Return the data set of each row of an unmerged file, by its batch; None if its batches do not tell."""
    known = {batch.number: batch.dataset_id for batch in mtz.batches}
    if not known or not any(column.label == "BATCH" for column in mtz.columns):
        return None
    numbers, place = _numbered(_column(mtz, "BATCH"))
    of_batch = [known.get(number, -1) for number in numbers.tolist()]
    there = {dataset.id for dataset in mtz.datasets}
    return np.array(of_batch, dtype=np.int64)[place] if there.issuperset(of_batch) else None


def _numbered(values: NDArray[np.float64] | NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return the different batch numbers, sorted, and the place of each value among them; what is none counts as 0."""
    whole = np.where(np.isfinite(values) & (values >= 0) & (values < LARGEST_BATCH), values, 0.0).astype(np.int64)
    there = np.zeros(int(whole.max(initial=0)) + 1, dtype=bool)
    there[whole] = True
    return np.flatnonzero(there), (np.cumsum(there, dtype=np.int32) - 1)[whole]


def _data(
    path: Path, mtz: gemmi.Mtz, dataset: gemmi.Mtz.Dataset, *, unmerged: bool
) -> tuple[Unmerged, tuple[str, ...]]:
    data = _mean_intensities(mtz, dataset) or _friedel_intensities(mtz, dataset)
    if data is None and unmerged:  # the columns may belong to another data set than the batches
        of_columns = (one for one in mtz.datasets if _has_intensities(mtz, one))
        data = next((found for one in of_columns if (found := _mean_intensities(mtz, one)) is not None), None)
    if data is not None:
        return data, ()
    pairs = _amplitudes(mtz, dataset)
    if not pairs:
        raise SourceError(f"{path}: data set {_name(dataset)} has no intensities")
    intensity, sigma = (_values(column) for column in pairs[0])
    squares = observations(mtz.make_miller_array(), *squared(intensity, sigma))
    return squares, ("the file holds amplitudes only: they were squared, and weak ones are biased",)


def _has_intensities(mtz: gemmi.Mtz, dataset: gemmi.Mtz.Dataset) -> bool:
    return bool(_pairs(mtz, dataset, "JQ")) or len(_pairs(mtz, dataset, "KM")) > 1


def _amplitudes(mtz: gemmi.Mtz, dataset: gemmi.Mtz.Dataset) -> list[tuple[gemmi.Mtz.Column, gemmi.Mtz.Column]]:
    return _pairs(mtz, dataset, "FQ")


def _pairs(mtz: gemmi.Mtz, dataset: gemmi.Mtz.Dataset, types: str) -> list[tuple[gemmi.Mtz.Column, gemmi.Mtz.Column]]:
    """Return the columns of these two types that follow each other in a data set, the preferred labels first."""
    columns = [column for column in mtz.columns if column.dataset_id == dataset.id]
    by_label = {column.label: column for column in columns}
    named = [(by_label[one], by_label[other]) for one, other in PREFERRED if by_label.keys() >= {one, other}]
    return [pair for pair in (*named, *pairwise(columns)) if pair[0].type + pair[1].type == types]


def _mean_intensities(mtz: gemmi.Mtz, dataset: gemmi.Mtz.Dataset) -> Unmerged | None:
    if not (pairs := _pairs(mtz, dataset, "JQ")):
        return None
    labels = {column.label for column in mtz.columns}
    return observations(
        mtz.make_miller_array(),
        _values(pairs[0][0]),
        _values(pairs[0][1]),
        angle_deg=_column(mtz, "ROT") if "ROT" in labels else None,
        crystal=_numbered(_column(mtz, "BATCH"))[1] if labels.issuperset({"BATCH", "M/ISYM"}) else None,
    )


def _friedel_intensities(mtz: gemmi.Mtz, dataset: gemmi.Mtz.Dataset) -> Unmerged | None:
    pairs = _pairs(mtz, dataset, "KM")
    if len(pairs) < 2:
        return None
    hkl = mtz.make_miller_array()
    (plus, plus_sigma), (minus, minus_sigma) = pairs[:2]
    return observations(
        np.concatenate([hkl, -hkl]),
        np.concatenate([_values(plus), _values(minus)]),
        np.concatenate([_values(plus_sigma), _values(minus_sigma)]),
    )


def _unit_cell(path: Path, cell: gemmi.UnitCell) -> UnitCell | None:
    if not cell.is_crystal():
        return None
    try:
        return UnitCell.of(cell.parameters)
    except ValueError as error:
        raise SourceError(f"{path}: the unit cell {cell.parameters} is impossible") from error


def _wavelength(mtz: gemmi.Mtz, dataset: gemmi.Mtz.Dataset) -> float | None:
    """Return the wavelength of the data set, else the last that any states."""
    return next((one.wavelength for one in (dataset, *reversed(mtz.datasets)) if one.wavelength > 0), None)


def _values(column: gemmi.Mtz.Column) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore"):  # damaged files hold signalling NaN
        return np.array(column, dtype=np.float64)


def _column(mtz: gemmi.Mtz, label: str) -> NDArray[np.float64]:
    return _values(mtz.column_with_label(label))
