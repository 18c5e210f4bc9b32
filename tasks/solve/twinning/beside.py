"""When twins are looked for beside single crystals, and which of the two is taken."""

from collections.abc import Callable

from tasks.crystal.contents import non_hydrogen
from tasks.integrate import Reflections, read_merged
from tasks.model import Composition, NoSolutionError
from tasks.model.provenance import Provenance
from tasks.solve.data.diagnosis import l_test
from tasks.solve.models import Solution, Solutions, SpaceGroupTrial
from tasks.solve.settings import SolveSettings
from tasks.solve.twinning.descents import descents
from tasks.solve.twinning.evidence import h_test, twin_suspicions
from tasks.solve.twinning.twin_campaign import TwinFound, solve_twin
from tasks.stage import code_version

TRIALS_BEFORE_TWINS = 12
"""Of a search for a single crystal, after which one that is not solved is tried as a twin: most structures stand by
then (`python -m tests.benchmarks.solve`), and trials of twins of small structures take less time than more of these.
Who asks for fewer gets no trials of twins."""
POOR_R1 = 0.2
"""R1 beyond which a model that passes for solved is tried as that of a twin too. Of the four twins of
tests/synthetic/twins.py wrong models of one crystal came to 0.21 to 0.27 and passed; right models of real electron data
have 0.06 to 0.19."""
FAIR_R1 = 0.1
"""The same where the H test tells of a twin. Chosen, not measured."""
BETTER = 0.75
"""R1 of left-out reflections of a twin, over that of a single crystal that passes for solved, for the twin to be taken.
Of the same four it came to 0.2 and less; a subgroup with twice the parameters gains a tenth on real data, chosen."""
SOUND = "look sound"
"""Of what is said of data that no model explains though their statistics show nothing."""
NO_TROUBLE = (SOUND, "ended the search")
"""Of what is said after all troubles of the data."""
KEPT = 5
"""Candidates in the document, as of a single crystal."""


def solved_with_twins(
    alone: Callable[[SolveSettings], Solutions],
    settings: SolveSettings,
    data: Reflections,
    composition: Composition | None,
) -> Solutions:
    """Return what a search leads to, and where that is not good enough, what the same intensities are as a twin's.

    Parameters
    ----------
    alone
        Searches for the structure of a single crystal.

    Raises
    ------
    NoSolutionError
        If there is no candidate at all.
    """
    few = min(settings.trials or TRIALS_BEFORE_TWINS, TRIALS_BEFORE_TWINS)
    early = settings.model_copy(update={"trials": few})
    first: Solutions | None
    try:
        first = alone(early)
    except NoSolutionError:
        first = None
    enough = settings.trials is None or settings.trials >= TRIALS_BEFORE_TWINS
    if enough and (first is None or _poor(first, composition) or (first.best.r1 > FAIR_R1 and _tells(data))):
        twin = solve_twin(settings, data, composition)
        if twin is not None and (first is None or _better(twin.solution, first)):
            return _with_twin(twin, first, settings, data)
    if first is None or (first.trials >= few and (settings.trials is None or few < settings.trials)):
        return _with_suspicions(alone(settings), data)
    return _with_suspicions(_as_told(first, settings), data)


def _with_suspicions(found: Solutions, data: Reflections) -> Solutions:
    """Return the document with what the intensities say of twins, where no structure explains them.

    Twins that are likely come first; what is only not excluded comes after troubles of the data, which upset the test.
    """
    if found.verdict == "solved":
        return found
    merged = read_merged(data.merged)
    said = twin_suspicions(descents(data), l_test(merged.hkl, merged.intensity))
    likely = tuple(text for text in said if "is likely" in text)
    vague = tuple(text for text in said if text not in likely)
    told = found.diagnosis
    place = next((number for number, text in enumerate(told) if any(mark in text for mark in NO_TROUBLE)), len(told))
    return found.model_copy(update={"diagnosis": (*likely, *told[:place], *vague, *told[place:])})


def _poor(found: Solutions, composition: Composition | None) -> bool:
    """Tell whether a model leaves so much unexplained that a second crystal may be behind it."""
    best = found.best
    elements = {atom.element for atom in best.atoms}
    absent = any(name not in elements for name in non_hydrogen(composition))
    return found.verdict != "solved" or best.r1 > POOR_R1 or absent


def _tells(data: Reflections) -> bool:
    """Tell whether reflections that a law relates are alike as in a twin."""
    better = (descent for descent in descents(data) if descent.merges_better)
    tests = (h_test(descent.merged, descent.laue, descent.law.law) for descent in better)
    return any(test.tells for test in tests if test is not None)


def _better(twin: Solution, first: Solutions) -> bool:
    own, other = twin.figures["r_free"], first.best.figures.get("r_free", 1.0)
    return first.verdict != "solved" or own <= BETTER * other


def _as_told(found: Solutions, settings: SolveSettings) -> Solutions:
    """Return the document with the settings that the user gave, not those of the early end."""
    told = found.provenance.model_copy(update={"parameters": settings.model_dump()})
    return found.model_copy(update={"provenance": told})


def _with_twin(twin: TwinFound, first: Solutions | None, settings: SolveSettings, data: Reflections) -> Solutions:
    """Return the document with the twin's model first, those of a single crystal behind it."""
    solution = twin.solution
    row = SpaceGroupTrial(
        symbol=solution.space_group,
        hall=solution.hall,
        score=0.0,
        r1=round(solution.r1, 4),
        reasons=solution.reasons[:1],
    )
    left = f"R1 {solution.r1:.3f}, of left-out reflections {solution.figures['r_free']:.3f}"
    margin = f"{solution.space_group}, {solution.reasons[0]}: {left}"
    if first is None:
        return Solutions(
            id=data.id,
            candidates=(solution,),
            space_groups=(row,),
            trials=TRIALS_BEFORE_TWINS,
            verdict=solution.verdict,
            margin=margin,
            provenance=Provenance(
                engine=getattr(settings, "engine", "direct-methods"),
                version=code_version(),
                parameters=settings.model_dump(),
                inputs={"merged": data.merged.sha256, "unmerged": data.unmerged.sha256},
                seed=settings.seed,
            ),
        )
    single = first.best
    margin += f"; as one crystal {single.space_group} with R1 {single.r1:.3f}"
    told = _as_told(first, settings)
    return told.model_copy(
        update={
            "candidates": (solution, *first.candidates[: KEPT - 1]),
            "space_groups": (row, *first.space_groups),
            "verdict": solution.verdict,
            "margin": margin,
            "diagnosis": tuple(text for text in first.diagnosis if SOUND not in text),
        }
    )
