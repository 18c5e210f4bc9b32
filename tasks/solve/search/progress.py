"""What a search has found so far, and whether that is enough."""

from tasks.solve.groups.symmetry_from_phases import GroupFit
from tasks.solve.phasing.trials import PhaseSet
from tasks.solve.search.candidates import Candidate, rank_key

CONFIDENT_R_FREE = 0.24
"""Right models of the shared sets come to 0.07 to 0.23 (`python -m tests.benchmarks.solve`), wrong ones that fit to
0.30 and more; up to 0.28 a model is solved, but others are looked for."""
CONFIDENT_CORRELATION = 0.75
"""Of E; right models of these sets have 0.83 to 0.99."""
CONFIDENT_OVER_SMOOTH = 0.48
"""The same R1 over that of intensities without structure (`r1_without_structure`). Right models have 0.14 to 0.42 on
five shared sets (cinchonine, 0.55, is looked at longer), 0.2 to 0.3 on simulated minerals; simulated perovskite in a
wrong group, all its atoms found, has 0.5."""
CONFIRMING_TRIALS = 12
"""At least so many trials, or twice as many as it took, go on in search of something better than a weak solution."""
LEAST_CORRELATION = 0.5
"""Structures have more from the first map on; the models of shuffled intensities stay below."""
SAME_MODEL = 0.004
"""In R1 and in correlation of E: models that came back from another start differed in R1 by 0.0008 at most
(`repair.SAME_R1`), and more has to differ before more symmetry is looked for again."""
MOST_ASKED = 0.7
"""Of the correlation of later models: a good wrong one must not hide the right one."""


class SearchProgress:
    """Candidates and group tables gathered so far."""

    def __init__(self) -> None:
        self.candidates: list[Candidate] = []
        self.fits: dict[int, list[GroupFit]] = {}
        self.trials = 0
        self.cut_short: str | None = None
        """Why the search ended before its trials were made, in words."""
        self.least_correlation = LEAST_CORRELATION
        self.last: PhaseSet | None = None
        self._preferred: Candidate | None = None
        self._asked: dict[tuple[str, int], list[tuple[float, float]]] = {}
        self._first_solved: int | None = None

    def add(self, candidates: list[Candidate], fits: list[GroupFit]) -> None:
        """Keep candidates with the table of groups they came from."""
        for candidate in candidates:
            self.fits[id(candidate)] = fits
        self.candidates += candidates

    def is_new(self, candidate: Candidate) -> bool:
        """Tell whether no model like this one was asked about before: same group, as many atoms, as good a fit."""
        mine = (candidate.built.fit.r1, candidate.built.correlation)
        known = self._asked.setdefault((candidate.task.symmetry.hall, len(candidate.built.fit.model.element)), [])
        if any(max(abs(a - b) for a, b in zip(mine, other, strict=True)) <= SAME_MODEL for other in known):
            return False
        known.append(mine)
        return True

    def ask_for(self, correlation: float) -> None:
        """Let models that correlate less than this one be worth no more work."""
        self.least_correlation = max(self.least_correlation, min(correlation, MOST_ASKED))

    def best(self) -> Candidate | None:
        """Return the first of the ranked candidates, None without any."""
        return next(iter(self.ranked()), None)

    def ranked(self) -> list[Candidate]:
        """Return the candidates, best first; one that was settled on comes before all others."""
        ranked = sorted(self.candidates, key=rank_key)
        if self._preferred is None:
            return ranked
        return [self._preferred, *(candidate for candidate in ranked if candidate is not self._preferred)]

    def settle(self, candidate: Candidate, reason: str, *, settled: bool) -> Candidate:
        """Rank a candidate first, say why, and make it doubtful where the group is not settled."""
        judgement = candidate.judgement._replace(reasons=(*candidate.judgement.reasons, reason))
        if not settled:
            judgement = judgement._replace(verdict="doubtful", reasons=(reason,))
            others = [other for other in self.candidates if other.judgement.verdict == "solved"]
            for other in others:
                doubtful = other.judgement._replace(verdict="doubtful", reasons=(reason,))
                self.add([other._replace(judgement=doubtful)], self.fits[id(other)])
            self.candidates = [other for other in self.candidates if other.judgement.verdict != "solved"]
        self._preferred = candidate._replace(judgement=judgement)
        self.add([self._preferred], self.fits[id(candidate)])
        return self._preferred

    def finished(self) -> bool:
        """Tell whether a model is solved beyond doubt, or nothing better was found for long enough."""
        best = self.best()
        if best is None or best.judgement.verdict != "solved":
            return False
        if self._first_solved is None:
            self._first_solved = self.trials
        figures = best.judgement.figures
        better = figures["r_free"] <= CONFIDENT_OVER_SMOOTH * figures["r1_smooth"]
        if better and figures["r_free"] <= CONFIDENT_R_FREE and figures["cc"] >= CONFIDENT_CORRELATION:
            return True
        return self.trials >= self._first_solved + max(CONFIRMING_TRIALS, 2 * self._first_solved)
