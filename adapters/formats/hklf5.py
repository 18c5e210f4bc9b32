"""SHELX's HKLF 5: reflections of several twin domains, those that were measured as one intensity in a group.

All but the last row of a group have negative batches, and every row of it the same intensity and sigma; the batch is
the number of the domain that its indices are of (SHELXL manual, HKLF and TWIN).
"""

import numpy as np

from adapters.formats.fixed_columns import Listed
from adapters.formats.intensity_table import IntensityTable
from tasks.integrate import DomainOverlaps, hklf4_text, separated
from tasks.model import SourceError

MOST_DOMAINS = 32
"""Chosen, not measured: twins of more than four domains are hardly ever published; more numbers are another thing."""


def is_twinned(listed: Listed) -> bool:
    """Tell HKLF 5 from HKLF 4 whose negative batches mark a test set: rows of a group share their intensity."""
    negative = listed.batch < 0
    if not negative.any() or negative[-1]:
        return False
    followed = np.flatnonzero(negative)
    return bool((listed.intensity[followed] == listed.intensity[followed + 1]).all())


def table_of_domains(name: str, listed: Listed) -> IntensityTable:
    """Return what a list of HKLF 5 holds: the sums as measured, and their shares to solve a structure from.

    Raises
    ------
    SourceError
        If the last group has no end, or batches are no numbers of domains.
    """
    domain = np.abs(listed.batch)
    if domain.min() < 1 or domain.max() > MOST_DOMAINS:
        raise SourceError(
            f"{name}: HKLF 5 with the batch {listed.batch[np.argmax(np.abs(domain - 1))]}: a batch is the number of a "
            f"domain, from 1 to {MOST_DOMAINS}, negative for all but the last of a group",
            "export the list again, or give it as HKLF 4 if it is no twin's",
        )
    ends = listed.batch > 0
    if not ends[-1]:
        raise SourceError(
            f"{name}: HKLF 5 ends within a group: batch {listed.batch[-1]} of {listed.hkl[-1].tolist()} is negative",
            "the file may be cut: copy it again",
        )
    ended = ends.astype(np.int32)
    observation = np.cumsum(ended, dtype=np.int32) - ended
    # a list of the domains 1 and 3 has two
    present, number = np.unique(domain, return_inverse=True)
    overlaps = DomainOverlaps(
        listed.hkl.astype(np.int32),
        number.ravel().astype(np.int32) + 1,
        observation,
        np.asarray(listed.intensity[ends], dtype=np.float64),
        np.asarray(listed.sigma[ends], dtype=np.float64),
    )
    parts = separated(overlaps)
    fractions = ", ".join(f"{x:.2f}" for x in parts.fractions)
    said = (
        f"HKLF 5: {overlaps.overlapped} of {len(overlaps.intensity)} observations are of several reflections of "
        f"{len(present)} domains (about {fractions}); shared out to solve, refined as they were measured"
    )
    facts = (("hklf", 5), ("domains", len(present)), ("overlapped", overlaps.overlapped))
    return IntensityTable(parts.data, overlaps=overlaps, warnings=(said,), facts=facts)


def hklf5_text(overlaps: DomainOverlaps) -> str:
    """Return the list as text, scaled like that of HKLF 4."""
    ends = np.ones(len(overlaps.observation), dtype=np.bool_)
    ends[:-1] = overlaps.observation[1:] != overlaps.observation[:-1]
    batch = np.where(ends, overlaps.domain, -overlaps.domain)
    return hklf4_text(
        overlaps.hkl,
        overlaps.intensity[overlaps.observation],
        overlaps.sigma[overlaps.observation],
        batch=batch.astype(np.int32),
    )
