"""Restraints as SHELXL's instructions: DFIX, DANG, SADI, FLAT, SIMU, RIGU and the EQIV they need. Pure text."""

from collections.abc import Mapping, Sequence

from tasks.refine import RestrainedPair, Restraint

PAIRS = 6
"""In one instruction, so that a line seldom needs to be continued: SHELX reads 80 columns."""
NEAR_ANGSTROM = 2.0
"""SIMU's default: atoms nearer than this are alike, which are the bonded ones."""
INSTRUCTIONS = {"distance": "DFIX", "one-three distance": "DANG"}


def restraint_lines(restraints: Sequence[Restraint], names: Mapping[str, str]) -> list[str]:
    """Return the instructions, not wrapped; `names` are those of the atoms in the file, by label.

    Distances with one target share an instruction. SIMU and RIGU name the atoms, and SHELXL finds their bonds.
    """
    operations = dict.fromkeys(pair.operation for restraint in restraints for pair in restraint.pairs if not pair.whole)
    numbers = {operation: number for number, operation in enumerate(operations, 1)}
    lines = [f"EQIV ${number} {operation.upper()}" for operation, number in numbers.items()]
    targets: dict[tuple[str, float, float], list[RestrainedPair]] = {}
    for restraint in restraints:
        if restraint.target_angstrom is not None:
            key = INSTRUCTIONS[restraint.kind], restraint.target_angstrom, restraint.esd
            targets.setdefault(key, []).extend(restraint.pairs)
    for (instruction, target, esd), pairs in targets.items():
        lines += [
            f"{instruction} {target:g} {esd:g} {_pairs(pairs[begin : begin + PAIRS], names, numbers)}"
            for begin in range(0, len(pairs), PAIRS)
        ]
    for restraint in restraints:
        if restraint.kind == "equal distances":
            lines.append(f"SADI {restraint.esd:g} {_pairs(restraint.pairs, names, numbers)}")
        elif restraint.kind == "plane":
            lines.append(f"FLAT {restraint.esd:g} {' '.join(names[label] for label in restraint.atoms)}")
    return [*lines, *_displacements(restraints, names)]


def _pairs(pairs: Sequence[RestrainedPair], names: Mapping[str, str], numbers: Mapping[str, int]) -> str:
    return " ".join(
        f"{names[pair.first]} {names[pair.second]}" + ("" if pair.whole else f"_${numbers[pair.operation]}")
        for pair in pairs
    )


def _displacements(restraints: Sequence[Restraint], names: Mapping[str, str]) -> list[str]:
    lines = []
    similar = [restraint for restraint in restraints if restraint.kind == "similar displacements"]
    if similar:
        tight, loose = min(item.esd for item in similar), max(item.esd for item in similar)
        lines.append(f"SIMU {tight:g} {loose:g} {NEAR_ANGSTROM:g} {_atoms(similar, names)}")
    rigid = [restraint for restraint in restraints if restraint.kind == "rigid bond"]
    if rigid:
        lines.append(f"RIGU {rigid[0].esd:g} {rigid[0].esd:g} {_atoms(rigid, names)}")
    return lines


def _atoms(restraints: Sequence[Restraint], names: Mapping[str, str]) -> str:
    return " ".join(names[label] for label in dict.fromkeys(label for item in restraints for label in item.labels))
