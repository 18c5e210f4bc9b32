"""Solved, doubtful or not solved: the one rule by which every structure is judged, whatever engine it came from.

A stage measures a model (`ModelFigures`), this module judges it. Nothing else states a verdict, so that a lax engine
cannot outrank an honest one. A figure that could not be had is None and says nothing, but for R1 of reflections left
out of the fit: without it a model is doubtful at most, since it may have been fitted to anything.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Literal, NamedTuple

from tasks.model.claims import ClaimName

Verdict = Literal["solved", "doubtful", "not-solved"]
VERDICTS: tuple[Verdict, ...] = ("solved", "doubtful", "not-solved")
"""The best first."""
ModelKind = Literal["first", "refined"]
"""A first model is atoms from a map after a quick isotropic fit; a refined one was refined to the end on F^2."""

UNTESTED = "no reflections were left out of its fit: doubtful at most"
SCALE_TOPIC = "scale"
"""Of the rule on the scale of all lengths: where that is wrong, other figures may be wrong for it alone."""
CHANCE_TOPIC = "chance"
"""Of the rule on what few reflections explain by chance: then they tell elements no more than places."""
SHOWN = 3
"""Names of atoms that a reason lists: as many as fit in a line."""
MOST_DOUBTS: Mapping[ModelKind, float] = {"first": float("inf"), "refined": 3}
"""Doubts that a right structure may raise at once; more make it not solved. Of a first model any number: refinement
settles them. Three is by judgement, it has not been measured by itself."""


class ModelFigures(NamedTuple):
    """What is known of a model; R factors and shares are fractions, None is what an engine cannot give."""

    kind: ModelKind
    radiation: Literal["electron", "xray"]
    r1: float
    """On F, for I > 2 sigma."""
    r1_left_out: float | None = None
    """Of reflections that were left out of the fit."""
    untested: str = UNTESTED
    """Why there is none."""
    r1_over_chance: float | None = None
    """R1 over that which fitting as many parameters to noise would reach."""
    r1_by_chance: float | None = None
    r1_over_smooth: float | None = None
    """R1 of left-out reflections over that of amplitudes that know resolution alone: 1 of a model without any worth."""
    correlation: float | None = None
    """Of observed and calculated E."""
    weak: float | None = None
    """Mean calculated E^2 of the weakest tenth."""
    reflections_per_parameter: float | None = None
    """Unique reflections, weak ones included."""
    observed_per_parameter: float | None = None
    """Unique reflections with I > 2 sigma."""
    shift_over_esd: float | None = None
    converged: bool = True
    recovery_angstrom: float | None = None
    """How far from where they were shaken atoms come to rest, root mean square."""
    atoms: int | None = None
    """Of the asymmetric unit; here and below hydrogen does not count."""
    atoms_per_cell: float | None = None
    atoms_expected: float = 0.0
    """The fewest that the cell can hold."""
    bad_contacts: float | None = None
    """Share of the atoms with a contact shorter than any bond."""
    isolated: float | None = None
    """Share of the atoms that bond to none."""
    short_bonds: float | None = None
    """Share of the bonds too short for the elements."""
    axis_ratio: float | None = None
    """Largest over smallest factor of the axes that the bonds ask for."""
    odd_displacements: float | None = None
    """Share of the atoms whose displacements are out of range."""
    odd_above_floor: float | None = None
    """The same without those at the least value that refinement allows."""
    close_contacts: tuple[str, ...] = ()
    """Pairs of atoms nearer than a bond, in words."""
    scale_doubts: tuple[str, ...] = ()
    """What speaks against the one scale of all lengths, in words."""
    cell_doubts: tuple[str, ...] = ()
    """What the bonds surely say against the cell, in words."""
    bad_neighbours: int | None = None
    """Atoms with more neighbours than their element can have, or with none."""
    completeness: float | None = None
    """Atoms of the model over those of the composition."""
    agreement: float | None = None
    """Share of the atoms of the composition that the model has with the right element."""
    unknown_elements: tuple[str, ...] = ()
    """Why it is not known which elements the atoms are, in words."""
    uncorrected_loss: float | None = None
    """Largest share of a reflection's electrons that was not counted, nor corrected."""
    counting_disagreement: float | None = None
    """Of reflections corrected for electrons not counted with themselves where few were lost, relative."""

    unique_reflections: float | None = None
    """That the structure was solved from."""
    explained_by_chance: float | None = None
    """Share of sets of intensities dealt out anew that some arrangement explains as well; None if not measured."""
    rivals: float | None = None
    """Other arrangements of the atoms that explain the data as well."""
    power_ratio: float | None = None
    """By what factor scattering powers of two elements differ from what was told, where the data are sure of it."""

    @property
    def predicts(self) -> bool:
        """Whether a refined model passes for reflections it was not fitted to."""
        return self.r1_left_out is not None and self.r1_left_out <= LEFT_OUT_REFINED.doubtful

    @property
    def atoms_spare(self) -> float | None:
        """Atoms beyond the fewest that are expected in the cell."""
        return None if self.atoms_per_cell is None else self.atoms_per_cell - self.atoms_expected

    @property
    def wrong_displacements(self) -> float | None:
        """Share of the atoms whose displacements speak against the model.

        Multiple scattering flattens intensities and takes displacements to their floor: for electrons that alone is
        no evidence against a structure which predicts what it was not fitted to. Nor is it for the hardest crystals,
        those of few reflections: diamond has less than the floor.
        """
        soft = self.radiation == "electron" or self.explained_by_chance is not None
        return self.odd_above_floor if soft and self.predicts else self.odd_displacements


class Limit(NamedTuple):
    """Beyond `doubtful` a figure is a doubt, beyond `hopeless` no right structure has it (None: it never says so)."""

    doubtful: float
    hopeless: float | None = None


class Rule(NamedTuple):
    """One row of the table: a figure, its limits by radiation, and the words for what lies beyond them."""

    figure: str
    limits: Mapping[str, Limit]
    doubt: str
    """With the fields `value`, `limit`, `names` and `of`, all figures."""
    hopeless: str = ""
    """Empty: the words of the doubt."""
    least: bool = False
    """Whether the figure should be above its limit, not below."""
    unless: Callable[[ModelFigures], bool] = lambda _: False
    topic: str = ""
    """Of rules on one topic that object only the worst speaks, of equals the first."""
    claim: ClaimName = "positions"
    """The part of the structure that the figure is evidence of."""
    caps: bool = False
    """Whether it only keeps a model from being called solved: no doubt that adds to others."""


class Statement(NamedTuple):
    """What one rule says of a model."""

    text: str
    objects: bool
    hopeless: bool = False
    topic: str = ""
    claim: ClaimName = "positions"
    caps: bool = False


class Ruling(NamedTuple):
    """The verdict, and what every rule said, in the order of the table."""

    verdict: Verdict
    statements: tuple[Statement, ...]

    @property
    def objections(self) -> tuple[Statement, ...]:
        """What speaks against the model."""
        return tuple(statement for statement in self.statements if statement.objects)

    def against(self, claim: ClaimName) -> tuple[Statement, ...]:
        """Return what speaks against one part of the structure."""
        return tuple(statement for statement in self.objections if statement.claim == claim)


def _alike(doubtful: float, hopeless: float | None = None) -> Mapping[str, Limit]:
    """Return the same limits for both radiations."""
    return dict.fromkeys(("electron", "xray"), Limit(doubtful, hopeless))


R1_FIRST = {"electron": Limit(0.30, 0.42), "xray": Limit(0.22, 0.42)}
"""Isotropic, without hydrogen and extinction: higher than of a refined model."""
LEFT_OUT_FIRST = {"electron": Limit(0.28), "xray": Limit(0.25)}
"""Wrong models with a low R1, of many parameters and few data, came to 0.298 and more."""
R1_REFINED = {"electron": Limit(0.27, 0.40), "xray": Limit(0.12, 0.30)}
"""Right structures against real electron data come to 0.12 to 0.20, models fitted to shuffled intensities down to
0.28."""
LEFT_OUT_REFINED = Limit(0.33, 0.46)
"""Right structures against real electron data have 0.19 to 0.25, models of shuffled intensities 0.45 and more."""
POROUS = (0.24, 0.85)
"""R1 of left-out reflections and correlation of E of a model that can lack little, however empty the cell: one
without half of its atoms correlates to 0.7 at most and has twice the R factor."""
ODD_NEIGHBOURS = (1, 10)
"""Atoms that may have odd neighbours: one, or one of so many. By judgement, not measured."""


def _explains(figures: ModelFigures) -> bool:
    """Tell whether a model explains the data so well that little can be missing: frameworks of molecules have pores."""
    left_out, correlation = figures.r1_left_out, figures.correlation
    return left_out is not None and correlation is not None and left_out <= POROUS[0] and correlation >= POROUS[1]


def _few_odd_neighbours(figures: ModelFigures) -> bool:
    few, one_of = ODD_NEIGHBOURS
    return (figures.bad_neighbours or 0) <= max(few, (figures.atoms or 0) // one_of)


FIRST: tuple[Rule, ...] = (
    Rule("r1", R1_FIRST, "R1 {value:.3f} (limit {limit:.2f})"),
    Rule("r1_left_out", LEFT_OUT_FIRST, "R1 of left-out reflections {value:.3f} (limit {limit:.2f})"),
    # right models have 0.14 to 0.55 (six of the shared sets), a wrong one of a merohedral twin, whose intensities are
    # alike, 0.8
    Rule(
        "r1_over_smooth", _alike(0.75),
        "R1 of left-out reflections {of.r1_left_out:.3f}, {value:.0%} of what intensities without structure give",
    ),
    # models of shuffled intensities stay below the second
    Rule("correlation", _alike(0.70, 0.50), "correlation of E {value:.2f} (least {limit})", least=True),
    # 0 for a perfect and about 1 for a random model
    Rule("weak", _alike(0.45), "weak reflections {value:.2f} (limit {limit})"),
    Rule(
        "reflections_per_parameter", _alike(3.0), "{value:.1f} reflections per parameter (least {limit})", least=True
    ),
    Rule(
        "atoms_spare", _alike(0.0),
        "{of.atoms_per_cell:.0f} atoms in the cell (at least {of.atoms_expected:.0f} expected)",
        least=True, unless=_explains,
    ),
    Rule("bad_contacts", _alike(0.1), "{value:.0%} of the atoms with impossible contacts"),
    # right models come to 1.25 (gypsum, layered), tyrosine in a cell with edges up to 25 % off to 1.35
    Rule(
        "axis_ratio", _alike(1.3),
        "bond lengths ask for axes in ratios up to {value:.2f} of those given: wrong cell?",
    ),
    Rule(
        "short_bonds", _alike(0.2),
        "{value:.0%} of the bonds too short for the elements: wrong composition or cell?",
    ),
    Rule("isolated", _alike(0.35), "{value:.0%} of the atoms without a neighbour to bond to"),
)  # fmt: skip
"""Of a first model. Where no reason is given a limit stands where models fitted to random intensities and to wrong
phases never came (tests/benchmarks/solve.py)."""

REFINED: tuple[Rule, ...] = (
    Rule("unknown_elements", _alike(0), "{names}", topic="which elements", claim="elements", caps=True),
    Rule(
        "r1", R1_REFINED, "R1 {value:.3f} is above {limit:.2f}",
        "R1 {value:.3f}: no right structure is that far from its data", topic="r1",
    ),
    # what so many parameters reach is Wilson's value for random atoms, less the freedom that they use up
    Rule(
        "r1_over_chance", _alike(0.62, 0.85),
        "R1 {of.r1:.3f} is not far enough below what chance gives ({of.r1_by_chance:.2f})",
        "R1 {of.r1:.3f} is what so many parameters reach by chance ({of.r1_by_chance:.2f})", topic="r1",
    ),
    Rule(
        "observed_per_parameter", _alike(1.8),
        "{value:.1f} observed reflections per parameter: too few to tell right from wrong", least=True,
    ),
    Rule(
        "shift_over_esd", _alike(0.5), "not converged: shift/esd {value:.1f}", unless=lambda figures: figures.converged
    ),
    Rule(
        "r1_left_out", dict.fromkeys(("electron", "xray"), LEFT_OUT_REFINED),
        "R1 of reflections it was not fitted to is {value:.2f}, above {limit}",
        "R1 of reflections it was not fitted to is {value:.2f}: as good as chance",
    ),
    # right structures come back within 0.1 A, models of shuffled intensities come to rest at 0.3 A and more
    Rule("recovery_angstrom", _alike(0.25), "when shaken the atoms come to rest {value:.2f} A away"),
    Rule("atoms", _alike(1, 1), "no atoms", least=True),
    Rule(
        "wrong_displacements", _alike(0.15, 0.5), "{value:.0%} of the atoms have odd displacements",
        "{value:.0%} of the atoms have impossible displacements",
    ),
    Rule("close_contacts", _alike(0), "atoms nearer than a bond: {names}"),
    Rule("scale_doubts", _alike(0), "{names}", topic=SCALE_TOPIC, claim="lattice"),
    Rule("cell_doubts", _alike(0), "{names}", topic=SCALE_TOPIC, claim="lattice"),
    Rule(
        "bad_neighbours", _alike(0), "{value} atoms with impossible or no neighbours", unless=_few_odd_neighbours
    ),
    Rule(
        "completeness", _alike(0.85), "the model has {value:.0%} of the atoms of the composition", least=True,
        topic="composition",
    ),
    Rule(
        "agreement", _alike(0.75), "elements agree with {value:.0%} of the composition", least=True,
        topic="composition", claim="elements",
    ),
    # a loss of so much of the strongest reflections is 15 % of |F|, more than R factors of right structures explain
    Rule(
        "uncorrected_loss", _alike(0.3),
        "strong reflections lost up to {value:.0%} of their electrons to others of the same camera frame, uncorrected",
    ),
    # right corrections of simulated series came to 0.1 at most (tests/benchmarks/coincidence.py)
    Rule(
        "counting_disagreement", _alike(0.25),
        "reflections corrected for electrons not counted differ by {value:.0%} from where few were lost",
    ),
)  # fmt: skip
"""Of a refined model. Limits without a reason are by judgement: they have not been measured one by one."""

LEAST_UNIQUE = 50
"""Unique reflections from which a structure found in a map can be told from others. Chosen, not measured: the least of
the sets that set the other limits has 100; with fewer, arrangements are tried one by one instead."""
FEW: tuple[Rule, ...] = (
    Rule(
        "unique_reflections", _alike(LEAST_UNIQUE),
        "only {value:.0f} unique reflections: too few to tell a structure from others that fit", least=True,
    ),
    # the least that 199 deals can state is 0.005; shuffled intensities of the prototypes had 0.015 to 0.86
    Rule(
        "explained_by_chance", _alike(0.01, 0.1),
        "{value:.1%} of sets of as few intensities, dealt out at random, are explained as well", topic=CHANCE_TOPIC,
    ),
    Rule("rivals", _alike(0), "{value:.0f} other arrangements of the same atoms explain the reflections as well"),
    # above 1 only where the data are sure of it (tasks/solve/search/enumeration.py)
    Rule(
        "power_ratio", _alike(1.25),
        "the intensities ask for scattering powers {value:.1f} times as far apart as those of the composition told",
    ),
)  # fmt: skip
"""Of structures of few reflections, first and refined: what so little data leave open."""

RULES: Mapping[ModelKind, tuple[Rule, ...]] = {"first": (*FIRST, *FEW), "refined": (*REFINED, *FEW)}


def with_search(figures: ModelFigures, known: Mapping[str, float]) -> ModelFigures:
    """Return the figures with those of a solution that also judge what is refined from it.

    Few reflections speak against a structure unless all arrangements were tried; what is in order stays unsaid.
    """
    chance, unique = known.get("explained_by_chance"), known.get("unique_reflections", math.inf)
    return figures._replace(
        unique_reflections=unique if chance is None and unique < LEAST_UNIQUE else None,
        explained_by_chance=chance,
        rivals=known.get("rivals") or None,
        power_ratio=ratio if (ratio := known.get("power_ratio", 1.0)) > 1.0 else None,
    )


def judge(figures: ModelFigures) -> Ruling:
    """Return the verdict on a model by its figures.

    ``not-solved``: a figure that no right structure shows, or too many doubts; ``doubtful``: a doubt, no reflections
    that were left out of the fit, or elements that are not known; ``solved``: none of these.
    """
    statements = tuple(_worst_of_each_topic(_statements(figures)))
    objections = [statement for statement in statements if statement.objects]
    doubts = sum(not statement.caps for statement in objections)
    if any(statement.hopeless for statement in objections) or doubts > MOST_DOUBTS[figures.kind]:
        return Ruling("not-solved", statements)
    return Ruling("doubtful" if objections else "solved", statements)


def _statements(figures: ModelFigures) -> Iterator[Statement]:
    for rule in RULES[figures.kind]:
        value = getattr(figures, rule.figure)
        if value is not None:
            yield _statement(rule, value, figures)
        elif rule.figure == "r1_left_out":
            yield Statement(figures.untested, objects=True)


def _statement(rule: Rule, value: float | tuple[str, ...], figures: ModelFigures) -> Statement:
    names = ", ".join(value[:SHOWN]) if isinstance(value, tuple) else ""
    number = len(value) if isinstance(value, tuple) else value
    limit = rule.limits[figures.radiation]

    def beyond(bound: float) -> bool:
        return not (number >= bound if rule.least else number <= bound)

    hopeless = limit.hopeless is not None and beyond(limit.hopeless)
    objects = (hopeless or beyond(limit.doubtful)) and not rule.unless(figures)
    words = rule.hopeless if hopeless and rule.hopeless else rule.doubt
    text = words.format(value=number, limit=limit.doubtful, names=names, of=figures)
    return Statement(text, objects, objects and hopeless, rule.topic, rule.claim, rule.caps)


def _worst_of_each_topic(statements: Iterator[Statement]) -> Iterator[Statement]:
    """Yield the statements less the objections on a topic on which a worse or an earlier one speaks."""
    every = list(statements)
    for place, statement in enumerate(every):
        rivals = [
            (not other.hopeless, rank)
            for rank, other in enumerate(every)
            if other.objects and other.topic == statement.topic
        ]
        if not (statement.objects and statement.topic) or min(rivals) == (not statement.hopeless, place):
            yield statement


def standing(verdict: Verdict) -> int:
    """Return the place of a verdict, the best 0: what candidates are sorted by first."""
    return VERDICTS.index(verdict)
