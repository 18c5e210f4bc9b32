"""Reading what the SHELX programs write: .lxt, .lst and result files. Pure functions on text."""

import re
from typing import NamedTuple

from tasks.model import ProgramFailedError

NUMBER = r"-?\d+\.?\d*"


class LxtRow(NamedTuple):
    """One solution of SHELXT's final table."""

    r1: float
    r_weak: float
    alpha: float
    systematic_absences: float | None
    orientation: str
    space_group: str
    flack_x: float | None
    file: str
    formula: str


class Disagreeable(NamedTuple):
    """One line of SHELXL's list of most disagreeable reflections."""

    hkl: tuple[int, int, int]
    f_squared_observed: float
    f_squared_calculated: float
    error_over_esd: float
    d_angstrom: float


class Lst(NamedTuple):
    """The final figures of SHELXL's .lst."""

    r1: float
    observed: int
    r1_all: float
    data: int
    wr2: float
    goof: float
    parameters: int
    restraints: int
    mean_shift_over_esd: float
    max_shift_over_esd: float
    highest_peak: float | None
    deepest_hole: float | None
    disagreeable: tuple[Disagreeable, ...]


def parse_lxt(text: str) -> tuple[LxtRow, ...]:
    """Return the solutions of a .lxt (SHELXT 2014 to 2018), in the order of the file; empty if there is no table."""
    rows: list[LxtRow] = []
    table = re.search(r"^\s*R1\s+Rweak\s+Alpha.*$", text, re.MULTILINE)
    for line in text[table.end() :].splitlines()[1:] if table else []:
        found = re.match(
            r"^\s*(\d\.\d+)\s+(\d\.\d+)\s+(\d\.\d+)(?:\s+(\d+\.\d+))?\s+(\D.*?)\s{2,}"
            rf"([PABCIFR]\S*)\s+(?:({NUMBER})\s+)?(\S+_[a-z]\w*)\s+(.+?)\s*$",
            line,
        )
        if found is None:
            if line.strip() and rows:
                break
            continue
        r1, weak, alpha, absences, orientation, group, flack, file, formula = found.groups()
        rows.append(
            LxtRow(
                float(r1),
                float(weak),
                float(alpha),
                None if absences is None else float(absences),
                orientation.strip(),
                group,
                None if flack is None else float(flack),
                file,
                formula,
            )
        )
    return tuple(rows)


def parse_lst(text: str) -> Lst:
    """Read the last figures of a .lst.

    Raises
    ------
    ProgramFailedError
        If the refinement did not come to its end; with SHELXL's own error if it states one.
    """
    final = re.findall(rf"R1 =\s*({NUMBER}) for\s+(\d+) Fo > 4sig\(Fo\)\s+and\s+({NUMBER}) for all\s+(\d+) data", text)
    overall = re.findall(rf"wR2 =\s*({NUMBER}),\s+GooF = S =\s*({NUMBER}), Restrained GooF =\s*{NUMBER}", text)
    if not final or not overall:
        error = re.search(r"^\s*\*\*.*\*\*\s*$", text, re.MULTILINE)
        raise ProgramFailedError("SHELXL did not finish", error.group(0).strip() if error else text[-500:])
    cycles = re.findall(r"for\s+(\d+) data and\s+\d+ /\s+(\d+) parameters", text)
    restraints = re.findall(r"Restrained GooF =\s*[\d.]+ for\s+(\d+) restraints", text)
    shifts = re.findall(rf"Mean shift/esd =\s*({NUMBER})\s+Maximum =\s*({NUMBER})", text)
    peak = re.findall(rf"Highest peak\s+({NUMBER})\s+at", text)
    hole = re.findall(rf"Deepest hole\s+({NUMBER})\s+at", text)
    r1, observed, r1_all, data = final[-1]
    return Lst(
        r1=float(r1),
        observed=int(observed),
        r1_all=float(r1_all),
        data=int(data),
        wr2=float(overall[-1][0]),
        goof=float(overall[-1][1]),
        parameters=int(cycles[-1][1]) if cycles else 0,
        restraints=int(restraints[-1]) if restraints else 0,
        mean_shift_over_esd=float(shifts[-1][0]) if shifts else 0.0,
        max_shift_over_esd=abs(float(shifts[-1][1])) if shifts else 0.0,
        highest_peak=float(peak[-1]) if peak else None,
        deepest_hole=float(hole[-1]) if hole else None,
        disagreeable=_disagreeable(text),
    )


def _disagreeable(text: str) -> tuple[Disagreeable, ...]:
    parts = text.split("Most Disagreeable Reflections")
    if len(parts) < 2:
        return ()
    pattern = (
        rf"^\s*\*?\s*(-?\d+)\s+(-?\d+)\s+(-?\d+)\s+({NUMBER})\s+({NUMBER})\s+({NUMBER})\s+{NUMBER}\s+({NUMBER})\s*$"
    )
    rows: list[Disagreeable] = []
    for line in parts[-1].splitlines()[1:]:
        found = re.match(pattern, line)
        if found:
            h, k, l, observed, calculated, error, d = found.groups()
            hkl = (int(h), int(k), int(l))
            rows.append(Disagreeable(hkl, float(observed), float(calculated), float(error), float(d)))
        elif rows:
            break
    return tuple(rows)


def suggested_weights(text: str) -> tuple[float, float] | None:
    """Return the WGHT parameters that SHELXL suggests at the end of a .res, after END."""
    tail = text[text.upper().rfind("\nEND") :]
    found = re.search(rf"^WGHT\s+({NUMBER})(?:\s+({NUMBER}))?", tail, re.MULTILINE)
    return None if found is None else (float(found.group(1)), float(found.group(2) or 0.0))


def complaint_in(text: str) -> str | None:
    """Return the first ``** message **`` that is not the programs' greeting: their way to say an error."""
    for line in re.findall(r"^\s*\*\*\s*(\S.*?)\s*\*\*\s*$", text, re.MULTILINE):
        if "++" not in line:
            return str(line)
    return None
