"""Reading MTZ files, merged or not, through gemmi."""

from itertools import pairwise
from pathlib import Path

import gemmi
import numpy as np
from numpy.typing import NDArray

from adapters.formats.intensity_table import IntensityTable, Positions, observations, squared
from tasks.integrate import Unmerged
from tasks.model import SourceError, UnitCell

PREFERRED = (("I", "SIGI"), ("IMEAN", "SIGIMEAN"), ("IPR", "SIGIPR"))


def read_mtz(path: Path) -> IntensityTable:
    """Read the intensities of an MTZ file; of several, those labelled I, IMEAN or IPR in this order.

    Without any, observed amplitudes (a column of type F before its sigma) are squared.

    Unmerged: original indices, ROT as angle, partial observations (odd M/ISYM flag) as they are. Merged: mean
    intensities, or both of a Friedel pair if only they are there.

    Raises
    ------
    SourceError
        If the file is damaged or holds no intensities.
    """
    try:
        mtz = gemmi.read_mtz_file(str(path))
    except (RuntimeError, OSError, ValueError) as error:
        raise SourceError(f"{path}: is no readable MTZ file: {error}") from error
    if any(column.label == "M/ISYM" for column in mtz.columns):
        mtz.switch_to_original_hkl()
    warnings: tuple[str, ...] = ()
    data = _mean_intensities(mtz) or _friedel_intensities(mtz)
    if data is None and (data := _squared_amplitudes(mtz)) is not None:
        warnings = ("the file holds amplitudes only: they were squared, and weak ones are biased",)
    if data is None:
        labels = " ".join(column.label for column in mtz.columns)
        raise SourceError(
            f"{path}: holds neither intensities nor amplitudes with sigmas (columns: {labels})",
            "give columns of type J or F, each followed by its sigma of type Q",
        )
    good = np.isfinite(data.intensity) & np.isfinite(data.sigma) & (data.sigma > 0)
    if not np.any(good):
        raise SourceError(f"{path}: no intensity has a positive sigma")
    data = Unmerged(data.hkl[good], data.intensity[good], data.sigma[good], data.angle_deg[good], data.crystal[good])
    wavelength = next((ds.wavelength for ds in reversed(mtz.datasets) if ds.wavelength > 0), None)
    cell = mtz.get_cell()
    return IntensityTable(
        data,
        unit_cell=UnitCell.of(cell.parameters) if cell.is_crystal() else None,
        wavelength_angstrom=wavelength,
        space_group=mtz.spacegroup.xhm() if mtz.spacegroup else None,
        warnings=warnings,
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


def _mean_intensities(mtz: gemmi.Mtz) -> Unmerged | None:
    labels = {column.label for column in mtz.columns}
    named = [pair for pair in PREFERRED if labels.issuperset(pair)]
    typed = [
        (column.label, following.label)
        for column, following in pairwise(list(mtz.columns))
        if column.type == "J" and following.type == "Q"
    ]
    for intensity, sigma in (*named, *typed):
        angle = _column(mtz, "ROT") if "ROT" in labels else None
        return observations(mtz.make_miller_array(), _column(mtz, intensity), _column(mtz, sigma), angle_deg=angle)
    return None


def _squared_amplitudes(mtz: gemmi.Mtz) -> Unmerged | None:
    for column, following in pairwise(list(mtz.columns)):
        if column.type == "F" and following.type == "Q":
            intensity, sigma = squared(_column(mtz, column.label), _column(mtz, following.label))
            return observations(mtz.make_miller_array(), intensity, sigma)
    return None


def _friedel_intensities(mtz: gemmi.Mtz) -> Unmerged | None:
    columns = list(mtz.columns)
    pairs = [
        (column.label, following.label)
        for column, following in pairwise(columns)
        if column.type == "K" and following.type == "M"
    ]
    if len(pairs) < 2:
        return None
    hkl = mtz.make_miller_array()
    (plus, plus_sigma), (minus, minus_sigma) = pairs[:2]
    return observations(
        np.concatenate([hkl, -hkl]),
        np.concatenate([_column(mtz, plus), _column(mtz, minus)]),
        np.concatenate([_column(mtz, plus_sigma), _column(mtz, minus_sigma)]),
    )


def _column(mtz: gemmi.Mtz, label: str) -> NDArray[np.float64]:
    return np.array(mtz.column_with_label(label), dtype=np.float64)
