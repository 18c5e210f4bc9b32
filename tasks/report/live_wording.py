"""What a series that grows has come to, in sentences: for its page, for the terminal, for Prefect's page of the run."""

from tasks.report.live_models import LiveCrystal, LiveScan, LiveState
from tasks.report.wording import cell_text, fixed, percent

ABSENT = "the file is absent"
"""What is said of a listed scan that is not there."""
PHASES = {
    "growing": "is being measured",
    "complete": "is complete",
    "stopped": "was not finished",
    "interrupted": "is no longer watched",
}


def live_headline(state: LiveState) -> str:
    """Return the sentence that says how far it is."""
    read = len(state.read)
    scans = f"{read} scans" if state.planned in (None, read) else f"{read} of {state.planned} scans seen"
    text = f"{state.sample} {PHASES[state.phase]}: {scans}, {_crystals(len(state.crystals))}"
    enough = [crystal.id for crystal in state.crystals if crystal.enough]
    if enough:
        return f"{text}; likely enough to solve: {', '.join(enough)}"
    indexed = [crystal for crystal in state.crystals if crystal.unit_cell is not None]
    if not indexed:
        return f"{text}, none indexed yet"
    best = max(indexed, key=lambda crystal: crystal.completeness or 0.0)
    return f"{text}, {len(indexed)} indexed, the best {percent(best.completeness)} complete"


def _crystals(number: int) -> str:
    return "1 crystal" if number == 1 else f"{number} crystals"


def dose_words(state: LiveState) -> str:
    """Return the dose so far: as stated, or what was counted."""
    if (stated := state.dose_stated) is not None:
        return f"{stated:.3g} e/Å² so far, by the manifest"
    if state.dose_counted_e_per_A2 is not None:
        return f"{state.dose_counted_e_per_A2:.3g} e/Å² counted so far; the dose is at least that"
    return "not known"


def told_scans(state: LiveState) -> tuple[LiveScan, ...]:
    """Return the scans that there is more to say of than that they are to come."""
    return tuple(scan for scan in state.scans if scan.state != "awaited" or scan.note != ABSENT)


def awaited_words(state: LiveState) -> str:
    """Return how many scans are to come, and at which tilts: 12 scans are to come, from 30° to 55°."""
    tilts = [scan.tilt_deg for scan in state.scans if scan not in told_scans(state) and scan.tilt_deg is not None]
    if not tilts:
        return ""
    many = "1 scan is" if len(tilts) == 1 else f"{len(tilts)} scans are"
    where = f"at {tilts[0]:g}°" if len(tilts) == 1 else f"from {min(tilts):g}° to {max(tilts):g}°"
    return f"{many} to come, {where}."


def verdict_words(crystal: LiveCrystal) -> str:
    """Return whether the data so far are likely to be enough, or what they lack."""
    return "likely enough to solve" if crystal.enough else f"not yet: {'; '.join(crystal.lacking)}"


def verdict_sentence(crystal: LiveCrystal) -> str:
    """Return the same as a sentence."""
    words = verdict_words(crystal)
    return f"{words[0].upper()}{words[1:]}."


def lattice_words(crystal: LiveCrystal) -> str:
    """Return space group and cell; nothing of a crystal without a lattice."""
    return "" if crystal.unit_cell is None else f"{crystal.space_group}, {cell_text(crystal.unit_cell)}"


def best_tilt_words(crystal: LiveCrystal) -> str:
    """Return the tilts that would add most: 12° (to 81 %), then 30° (to 86 %)."""
    return ", then ".join(f"{tilt:g}° (to {percent(share, 0)})" for tilt, share in crystal.best_tilts)


def crystal_cells(crystal: LiveCrystal) -> tuple[str, ...]:
    """Return the texts of one row of the table of crystals, after its name."""
    return (
        f"{crystal.positions} at {crystal.tilts} tilts",
        fixed(crystal.d_min_angstrom),
        percent(crystal.completeness),
        percent(crystal.completeness_planned),
        fixed(crystal.cc_half, 3),
        fixed(crystal.halves_cc, 3),
        fixed(crystal.halves_weak, 3),
    )


LIVE_HEADER = (
    "positions at most",
    "d min (Å)",
    "complete",
    "foretold",
    "CC½",
    "halves of the tilts",
    "their weak reflections",
)
"""Of what `crystal_cells` returns."""
