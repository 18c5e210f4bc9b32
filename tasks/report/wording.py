"""Numbers and sentences as a reader wants them."""

import math
from collections.abc import Sequence

from tasks.integrate import CellEsd, whole_esd
from tasks.model import UnitCell
from tasks.report.claims_wording import claims_sentence
from tasks.report.models import CrystalOutcome, PhaseTrial, RunOutcome

DASH = "–"
NO_BREAK = "\u00a0"
TO_COME = {
    "gain": "all positions of each crystal, beside those chosen",
    "nested": "how small a part of each crystal would have sufficed",
}
"""What a report does not hold yet, in words."""


def number(value: float | None, digits: int = 3) -> str:
    """Return `digits` significant digits; a dash for None."""
    if value is None:
        return DASH
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{decimals}f}".replace(",", NO_BREAK)


def fixed(value: float | None, decimals: int = 2) -> str:
    """Return `decimals` digits after the point; a dash for None."""
    return DASH if value is None else f"{value:,.{decimals}f}".replace(",", NO_BREAK)


def percent(value: float | None, decimals: int = 1) -> str:
    """Return a fraction in per cent; a dash for None."""
    return DASH if value is None else f"{100 * value:.{decimals}f}{NO_BREAK}%"


def with_esd(value: float, esd: float | None) -> str:
    """Return a value with its standard uncertainty in the last digits: 20.700(4)."""
    if esd is None or not esd > 0:
        return f"{value:.4f}".rstrip("0").rstrip(".")
    decimals = max(0, -math.floor(math.log10(esd)))
    last = round(esd * 10**decimals)
    if last == 1:
        decimals, last = decimals + 1, round(esd * 10 ** (decimals + 1))
    return f"{value:.{decimals}f}({last})"


def cell_text(cell: UnitCell, esd: CellEsd | None = None) -> str:
    """Return the cell in a few words: only what the lattice leaves free; lengths with their esds if given."""
    a, b, c, alpha, beta, gamma = cell.parameters
    right = all(abs(angle - 90) < 0.005 for angle in (alpha, beta, gamma))
    edges = [f"{x:.3f}" for x in (a, b, c)] if esd is None else list(map(with_esd, (a, b, c), esd[:3]))
    if right and max(abs(a - b), abs(b - c)) < 5e-4 * a:
        return f"a = {edges[0]} Å"
    lengths = f"a = {edges[0]}, b = {edges[1]}, c = {edges[2]} Å"
    free = [f"{name} = {angle:.2f}°" for name, angle in zip("αβγ", (alpha, beta, gamma)) if abs(angle - 90) > 0.005]
    return ", ".join([lengths, *free])


def duration(seconds: float) -> str:
    """Return a time as 42 s, 3 min 5 s or 2 h 10 min."""
    whole = round(seconds)
    if whole < 90:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 5400:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def headline(outcome: RunOutcome) -> str:
    """Return the sentence that says what the run came to."""
    everything = (*outcome.crystals, *outcome.merged_all)
    sample = outcome.source.sample
    solved = [crystal for crystal in everything if crystal.status == "solved"]
    if solved:
        return _solved_sentence(outcome, solved)
    if outcome.failure is not None and not everything:
        return f"{sample} was not solved: {outcome.failure.message}"
    integrated = [crystal for crystal in everything if crystal.reflections is not None]
    if integrated:
        return f"{sample} is not solved. {_counted(len(integrated), len(everything))} gave intensities." + _best(
            integrated
        )
    if everything:
        return (
            f"{sample} is not solved: no lattice was found for {_counted(len(everything), len(everything), 'any of')}."
        )
    return f"{sample} is not solved: no crystals were found in the scans."


def phase_sentence(trials: Sequence[PhaseTrial]) -> str:
    """Return which of several compositions a crystal was found to be of, and by what margin; empty without trials."""
    if not trials:
        return ""
    best, *others = trials
    if best.verdict != "solved":
        return "None of the compositions gives a structure that is solved; the best stands first."
    rival = min((one.r1_left_out for one in others if one.r1_left_out is not None), default=None)
    if best.r1_left_out is None or rival is None:
        return f"Solved with {best.composition}; no other composition gave a model."
    return (
        f"Solved with {best.composition}: R1 of left-out reflections {percent(best.r1_left_out)}, "
        f"{percent(rival)} at best with another composition."
    )


def _best(integrated: list[CrystalOutcome]) -> str:
    models = [crystal.refinement for crystal in integrated if crystal.refinement is not None]
    if not models:
        return ""
    best = min(models, key=lambda model: model.r1)
    why = f": {best.reasons[0]}" if best.reasons else ""
    claimed = "" if best.claims is None or best.verdict != "doubtful" else f" In it {claims_sentence(best.claims)}."
    found = f"R1 = {percent(best.r1)} in {best.space_group}, is {best.verdict.replace('-', ' ')}{why}"
    return f" The best model, {found}.{claimed}"


def _solved_sentence(outcome: RunOutcome, solved: list[CrystalOutcome]) -> str:
    best = min(solved, key=lambda crystal: crystal.refinement.r1 if crystal.refinement else 1.0)
    own = [crystal for crystal in outcome.crystals if crystal.status == "solved"]
    parts = []
    if outcome.source.kind == "intensities" or len(outcome.crystals) == 1:
        parts.append(f"{outcome.source.sample} is solved")
    elif own:
        parts.append(f"{outcome.source.sample} is solved from {_counted(len(own), len(outcome.crystals))}")
    else:
        parts.append(f"{outcome.source.sample} is solved from merged data only")
    if best.refinement is not None:
        model = best.refinement
        esd = whole_esd(model.unit_cell, model.unit_cell_esd, model.cell_scale)
        if model.claims is not None:
            parts[0] += f": {_written(model.formula)} in {model.space_group}"
            parts += [claims_sentence(model.claims), cell_text(model.unit_cell, esd)]
        else:
            parts.append(f"{model.space_group}, {cell_text(model.unit_cell, esd)}")
        limit = f" at {best.reflections.d_min_angstrom:.2f} Å" if best.reflections is not None else ""
        parts.append(f"R1 = {percent(model.r1)}{limit} ({best.id})")
        if model.scale_doubt is not None:
            parts.append(f"but {model.scale_doubt}")
    return "; ".join(parts) + "."


def _written(formula: str) -> str:
    """Return a formula as chemists write it, a single atom without its 1."""
    return " ".join(part.removesuffix("1") if part[:-1].isalpha() else part for part in formula.split())


def _counted(part: int, whole: int, between: str = "of") -> str:
    noun = "crystal" if whole == 1 else "crystals"
    return f"{between} {whole} {noun}" if between != "of" else f"{part} of {whole} {noun}"
