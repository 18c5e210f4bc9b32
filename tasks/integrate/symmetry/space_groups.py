"""Candidate space groups of a Laue group, scored by systematic absences, intensity statistics and frequency."""

from collections.abc import Sequence
from typing import NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, logsumexp

from tasks.crystal.scattering import d_star_squared
from tasks.crystal.symmetry import compatible_groups
from tasks.integrate.merging.normalisation import normalised_intensities
from tasks.integrate.models import SpaceGroupCandidate
from tasks.integrate.reflection_file import Merged
from tasks.integrate.symmetry.space_group_frequency import log_frequency
from tasks.model import UnitCell

LEAKAGE = (0.003, 0.01, 0.03, 0.1, 0.2)
"""Mean E^2 that multiple scattering may put into a class that symmetry forbids; equally likely beforehand."""

OUTLIER_SHARE = 0.05
"""Share of forbidden reflections that may be as strong as any other: one bad spot must not rule out a group."""

ARCSINE_MEANS = 2.0 * np.cos((np.arange(8) + 0.5) * np.pi / 16.0) ** 2
"""Means of the exponentials whose equal mixture is the centric Wilson distribution (to better than the noise)."""

CENTRIC, ACENTRIC = 0.968, 0.736
"""Mean |E^2 - 1| of the two Wilson distributions."""

STATISTICS_WIDTH = 0.12
"""Scatter of mean |E^2 - 1| between structures, half of what lies between CENTRIC and ACENTRIC (0.232). Chosen, not
measured: a value equal to one of them has odds of 6.5 to one, of which the root counts."""
STATISTICS_LIMIT = 1.0
"""Most by which |E^2 - 1| may set centric and acentric groups apart, in nats: odds of 2.7, as multiple scattering and
heavy atoms bend it. Chosen, not measured: absences must be able to outvote it."""
UNLISTED_LIMIT = 3.0
"""Most that a class of which nothing is listed may say, in nats: odds of 20 to one. Chosen, not measured: a program
left it out by its own judgement, which strong measured reflections must be able to outvote."""


class AbsenceClass(NamedTuple):
    """Reflections that the same candidates forbid."""

    description: str
    listed: int
    possible: int
    mean_e_squared: float | None
    log_odds: float
    """Natural logarithm of p(data | forbidden) / p(data | allowed)."""


def rank_space_groups(merged: Merged, laue: gemmi.SpaceGroup, cell: UnitCell) -> tuple[SpaceGroupCandidate, ...]:
    """Return every space group of a Laue group and centring in this setting, best first.

    The score is the natural logarithm of the relative probability: evidence of each class of forbidden reflections
    (Wilson statistics against leakage by multiple scattering plus noise), how common the group is, and, within 1,
    whether mean |E^2 - 1| looks centric. Nothing is vetoed; the best has the score 0.

    Idea: zone scores of POINTLESS (Evans, Acta Cryst. D67, 282-292, 2011), with leakage, as electron diffraction
    breaks glide and screw absences (Gjonnes & Moodie, Acta Cryst. 19, 65-67, 1965).
    """
    groups = compatible_groups(laue)
    z, noise = _e_squared(merged, laue, cell)
    classes = _absence_classes(groups, _possible(merged, laue, cell), z, noise)
    centric = _centric_evidence(z, noise)
    rows = []
    for i, group in enumerate(groups):
        held = [(members, value) for members, value in classes if members[i]]
        shown = centric if group.is_centrosymmetric() else -centric
        total = sum(value.log_odds for _, value in held) + log_frequency(group.number) + shown
        rows.append((total, group, _reasons([value for _, value in held], group, z, shown)))
    best = max(total for total, *_ in rows)
    rows.sort(key=lambda row: (-round(row[0], 6), row[1].number, not row[1].is_reference_setting()))
    return tuple(
        SpaceGroupCandidate(symbol=group.xhm(), hall=group.hall, score=total - best, reasons=reasons)
        for total, group, reasons in rows
    )


def mean_abs_e_squared_minus_one(z: NDArray[np.float64], noise: NDArray[np.float64]) -> float | None:
    """Return mean |E^2 - 1| over reflections with sigma(E^2) < 0.5; None for fewer than 50."""
    good = noise < 0.5
    if np.count_nonzero(good) < 50:
        return None
    return float(np.mean(np.abs(z[good] / np.mean(z[good]) - 1.0)))


def _e_squared(
    merged: Merged, laue: gemmi.SpaceGroup, cell: UnitCell
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return E^2 and its sigma, (n,) each; the symmetry enhancement is that of the proper rotations."""
    operations = laue.operations()
    proper = [op for op in operations.sym_ops if np.linalg.det(np.array(op.rot) / gemmi.Op.DEN) > 0]
    enhancement = gemmi.GroupOps(proper).epsilon_factor_without_centering_array(merged.hkl)
    factor = normalised_intensities(merged.intensity, d_star_squared(merged.hkl, cell)) / enhancement
    return merged.intensity * factor, np.maximum(merged.sigma * factor, 1e-4)


class _Possible(NamedTuple):
    """The unique reflections in the range of the data, and the row of the merged table of each (-1: not listed)."""

    hkl: NDArray[np.int32]
    row: NDArray[np.intp]


def _possible(merged: Merged, laue: gemmi.SpaceGroup, cell: UnitCell) -> _Possible:
    d = d_star_squared(merged.hkl, cell) ** -0.5
    hkl = gemmi.make_miller_array(cell.gemmi(), laue, float(d.min()) * (1 - 1e-6), float(d.max()) * (1 + 1e-6))
    rows = {tuple(index): i for i, index in enumerate(merged.hkl.tolist())}
    return _Possible(hkl, np.array([rows.get(tuple(index), -1) for index in hkl.tolist()], dtype=np.intp))


def _absence_classes(
    groups: Sequence[gemmi.SpaceGroup], possible: _Possible, z: NDArray[np.float64], noise: NDArray[np.float64]
) -> list[tuple[NDArray[np.bool_], AbsenceClass]]:
    """Split the possible reflections by which groups forbid them; reflections that none forbids are left out."""
    forbidden = np.array([group.operations().systematic_absences(possible.hkl) for group in groups])
    by_some = np.any(forbidden, axis=0)
    some = np.flatnonzero(by_some)
    if not some.size:
        return []
    patterns, member = np.unique(forbidden[:, some].T, axis=0, return_inverse=True)
    classes = []
    for number, pattern in enumerate(patterns):
        chosen = some[member.reshape(-1) == number]
        rows = possible.row[chosen]
        rows = rows[rows >= 0]
        if rows.size:
            odds, mean = _log_odds(z[rows], noise[rows]), float(z[rows].mean())
        else:
            odds, mean = _log_odds_of_nothing_listed(possible, chosen, by_some), None
        classes.append((pattern, AbsenceClass(_describe(possible.hkl[chosen]), len(rows), len(chosen), mean, odds)))
    return classes


def _log_odds_of_nothing_listed(
    possible: _Possible, chosen: NDArray[np.intp], forbidden_by_some: NDArray[np.bool_]
) -> float:
    """Return the evidence of a class without a listed reflection: a program may have removed it as absent.

    The chance that all were missed follows from the share listed of the reflections of the same zone that nothing
    forbids. Limited to 3: someone else's judgement, not a measurement.
    """
    zero = np.all(possible.hkl[chosen] == 0, axis=0)
    zone = np.all((possible.hkl == 0) == zero, axis=1) & ~forbidden_by_some
    if not np.any(zone):
        return 0.0
    share = min(float(np.mean(possible.row[zone] >= 0)), 0.95)
    return float(min(-len(chosen) * np.log1p(-share), UNLISTED_LIMIT))


def _log_odds(z: NDArray[np.float64], noise: NDArray[np.float64]) -> float:
    """Return ln p(z | forbidden) - ln p(z | allowed), leakage integrated over."""
    acentric = _log_exponential(z, noise, 1.0)
    centric = logsumexp([_log_exponential(z, noise, float(m)) for m in ARCSINE_MEANS], axis=0) - np.log(8)
    allowed = np.logaddexp(acentric, centric) - np.log(2)
    sums = [
        np.sum(
            np.logaddexp(
                np.log1p(-OUTLIER_SHARE) + _log_exponential(z, noise, leak),
                np.log(OUTLIER_SHARE) + allowed,
            )
        )
        for leak in LEAKAGE
    ]
    return float(logsumexp(sums) - np.log(len(LEAKAGE)) - np.sum(allowed))


def _log_exponential(z: NDArray[np.float64], noise: NDArray[np.float64], mean: float) -> NDArray[np.float64]:
    """Return the log density of an exponential variable of this mean plus normal noise, (n,)."""
    return np.asarray(
        -np.log(mean) + noise**2 / (2 * mean**2) - z / mean + log_ndtr(z / noise - noise / mean), dtype=np.float64
    )


def _centric_evidence(z: NDArray[np.float64], noise: NDArray[np.float64]) -> float:
    """Return half the log odds of a centric distribution, limited: multiple scattering and heavy atoms bend it."""
    value = mean_abs_e_squared_minus_one(z, noise)
    if value is None:
        return 0.0
    odds = ((value - ACENTRIC) ** 2 - (value - CENTRIC) ** 2) / (2 * STATISTICS_WIDTH**2)
    return float(np.clip(odds / 2, -STATISTICS_LIMIT / 2, STATISTICS_LIMIT / 2))


def _describe(hkl: NDArray[np.int32]) -> str:
    """Return a zone and an example: '0k0 such as 0 3 0'."""
    letters = ["0" if np.all(hkl[:, i] == 0) else "hkl"[i] for i in range(3)]
    h, k = hkl[:, 0], hkl[:, 1]
    if "0" not in letters and np.all(np.abs(h) == np.abs(k)):
        letters[1] = "h"
    example = hkl[np.argmin(np.abs(hkl).sum(axis=1))]
    return f"{''.join(letters)} such as {' '.join(str(x) for x in example)}"


def _reasons(
    classes: list[AbsenceClass], group: gemmi.SpaceGroup, z: NDArray[np.float64], centric: float
) -> tuple[str, ...]:
    reasons = [
        f"forbids {c.description}: "
        + (
            f"none of {c.possible} listed"
            if c.mean_e_squared is None
            else f"mean E^2 {c.mean_e_squared:.3g} of {c.listed}"
        )
        + f", log odds {c.log_odds:+.1f}"
        for c in classes
    ]
    if not classes:
        reasons.append("forbids nothing beyond the centring")
    kind = "centrosymmetric" if group.is_centrosymmetric() else "acentric"
    if z.size and centric:
        reasons.append(f"{kind}: |E^2 - 1| statistics give log odds {centric:+.2f}")
    reasons.append(f"frequency among known structures: ln(percent) {log_frequency(group.number):+.1f}")
    return tuple(reasons)
