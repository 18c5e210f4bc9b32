"""Whether formula, Z, volume and symmetry of a structure go together."""

from tasks.crystal.contacts import covalent_radius
from tasks.crystal.contents import not_hydrogen
from tasks.crystal.symmetry import operations_from_hall
from tasks.model import Composition
from tasks.refine.alerts.alert import Alert, AlertLevel, Grades, graded, listed, raised
from tasks.refine.alerts.subject import Subject, atoms_in_cell
from tasks.refine.alerts.symmetry import symmetry_alerts
from tasks.refine.checks import elements_not_found

CROWDED = Grades(c=8.0, b=7.0, a=5.5, least=True)
"""Angstrom^3 for each atom that is not hydrogen. Diamond, the densest of all, has 5.67, beryllia 6.9, corundum 8.5;
of the tests' structures the densest, LuAG, 10.6."""
EMPTY = Grades(c=28.0, b=40.0, a=60.0)
"""Likewise: the rule says 18 (Kempster & Lipson, Acta Cryst. B28, 3674, 1972), UiO-66 with empty pores has 25.8,
and no compound of light atoms comes to the last two. Large atoms have more room, `_room`."""
LARGE_RADIUS_ANGSTROM = 1.5
"""Covalent radius from which an atom takes more room than 18 A^3, by the cube: of 87 elements in their structures
(PyPI, crystals) those above 28 A^3 an atom are the alkali metals, alkaline earths, lanthanoids and molecular ones."""
MISCOUNTED = Grades(c=0.02, b=0.05, a=0.15)
"""Share of an element's atoms by which the atoms in the cell differ from formula times Z. Occupancies that are refined
are good to 0.02; wrong Z or an atom left out of ten is beyond the last."""
LACKING = Grades(c=0.02, b=0.08, a=0.25)
"""Share of the atoms of the composition, hydrogen apart, that the model has not as that element. The second is one atom
of twelve. Chosen, not measured: with a quarter wrong no chemist takes the model for the compound."""
FLAT_DIFFERENCE = 0.5
"""Atoms in the cell: less than that many too few or too many of an element is rounding of the formula."""
FORBIDDEN_SHARE = 0.25
"""Of the forbidden reflections: with more violated the alert is B. Chosen, not measured: a glide plane that is not
there leaves about all of its reflections, multiple scattering mostly a few that lie beside strong ones."""


def content_alerts(subject: Subject) -> tuple[Alert, ...]:
    """Return what formula, Z and volume say against each other, and against the composition."""
    return (
        *_volume(subject),
        *_counted(subject),
        *_units(subject),
        *_composition(subject, subject.composition),
        *symmetry_alerts(subject),
        *_forbidden(subject),
    )


def _volume(subject: Subject) -> tuple[Alert, ...]:
    atoms = not_hydrogen(Composition(counts=subject.formula)) * subject.formula_units
    if not atoms > 0:
        return ()
    volume = subject.draft.unit_cell.volume_angstrom3 / atoms
    text = "formula and Z leave {value:.1f} A^3 for each atom that is not hydrogen, 18 is usual"
    room = _room(subject.formula)
    most = EMPTY.times(room)
    return (
        *graded("CEL01", volume, CROWDED, f"{text} (least {{limit:g}})"),
        *graded("CEL01", volume, most, f"{text} (most {{limit:.0f}})"),
    )


def _room(formula: dict[str, float]) -> float:
    """Return by how much the atoms that are not hydrogen are larger than those of organic compounds, 1 or more."""
    heavy = {name: count for name, count in formula.items() if name not in {"H", "D"}}
    larger = {name: max(1.0, (covalent_radius(name) / LARGE_RADIUS_ANGSTROM) ** 3) for name in heavy}
    return sum(count * larger[name] for name, count in heavy.items()) / sum(heavy.values())


def _counted(subject: Subject) -> tuple[Alert, ...]:
    contents = atoms_in_cell(subject.draft)
    wanted = {name: count * subject.formula_units for name, count in subject.formula.items()}
    rows = []
    for name in sorted(contents.keys() | wanted.keys()):
        found, asked = contents.get(name, 0.0), wanted.get(name, 0.0)
        if abs(found - asked) > FLAT_DIFFERENCE:
            rows.append((f"{name} {found:g} for {asked:g}, off by", abs(found - asked) / max(found, asked)))
    text = "the atoms in the cell are not formula times Z (limit {limit:.0%})"
    return listed("CEL02", rows, MISCOUNTED, text, form=".0%")


def _units(subject: Subject) -> tuple[Alert, ...]:
    order, units = len(operations_from_hall(subject.draft.hall).rotations), subject.formula_units
    if not units > 0 or any(abs(ratio - round(ratio)) < 1e-6 for ratio in (order / units, units / order)):
        return ()
    short = not_hydrogen(Composition(counts=subject.formula)) <= order
    if short and abs(24 * units / order - round(24 * units / order)) < 1e-6:
        return ()  # few atoms may be spread over several special positions
    return (raised("CEL03", "C", f"Z = {units:g} in a group whose general position has {order}", value=units),)


def _composition(subject: Subject, composition: Composition | None) -> tuple[Alert, ...]:
    if composition is None or not (total := not_hydrogen(composition)):
        return ()
    heavy = {name: count for name, count in composition.counts.items() if name not in {"H", "D"}}
    matched = sum(min(count, subject.formula.get(name, 0.0)) for name, count in heavy.items())
    absent = elements_not_found(subject.formula, composition)
    added = f"; no {', '.join(absent)} in the model" if absent else ""
    text = "{value:.0%} of the composition is not in the model as that element (limit {limit:.0%})"
    alerts = graded("CEL04", 1.0 - matched / total, LACKING, text + added)
    foreign = sorted(set(subject.formula) - set(composition.counts) - {"H", "D"})
    if foreign:
        alerts += (raised("CEL04", "A", f"the model has {', '.join(foreign)}, which the composition has not"),)
    return alerts + _hydrogen(subject, composition)


def _hydrogen(subject: Subject, composition: Composition) -> tuple[Alert, ...]:
    """Return an alert if hydrogen is incomplete: C, since much of it cannot be placed by geometry."""
    wanted = sum(composition.counts.get(name, 0.0) for name in ("H", "D"))
    found = sum(subject.formula.get(name, 0.0) for name in ("H", "D"))
    if abs(wanted - found) <= 0.02 * wanted:
        return ()
    text = f"the model has {found:g} hydrogen atoms for the {wanted:g} of the composition"
    return (raised("CEL04", "C" if found else "B", text, value=found, limit=wanted),)


def _forbidden(subject: Subject) -> tuple[Alert, ...]:
    data = subject.intensities
    if data is None or not data.absences_violated:
        return ()
    share = data.absences_violated / max(1, data.absences)
    level: AlertLevel = "B" if share > FORBIDDEN_SHARE else "C"
    text = f"{data.absences_violated} unique reflections that the group forbids have I > 3 sigma"
    return (raised("SYM02", level, text, value=float(data.absences_violated), limit=0.0),)
