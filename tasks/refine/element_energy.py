"""The cost of a whole assignment of elements, and samples of assignments in proportion to their likelihood."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tasks.refine.bond_geometry import Environment, site_cost
from tasks.refine.site_evidence import Evidence, Option
from tasks.refine.unlike import NOTHING_NEAR, Shell, like_cost

SWEEPS = 300
"""Samples per site. Chosen, not measured, for time: odds are good to some 0.1, as the least odds of tyrosine (tests'
data, refined) are 0.93 and 0.97 with two seeds, 0.87 with 3000 sweeps."""
BURN_IN = 30
"""Sweeps not counted. Chosen, not measured: the start is the refined model, already near the least cost, and a tenth
of SWEEPS costs little."""
TEMPERATURE = 2.0
"""Costs are divided by it in samples: set with TRIED such that what is stated is how often it is right (380 of 387
atoms right, mean stated odds 0.96; tests/benchmarks/RESULTS.md). One state is surer than it is right."""
TRIED = 8.0
"""What it costs a site to leave what the model has there: least squares has refused the likeliest exchanges."""
ANNEALING = (8.0, 4.0, 2.0, 1.0, 0.5, 0.25)
"""Temperatures, halved each time: from where MOST_COST is left once in two trials, exp(-12 / 16), to where a cost of
2 passes once in 55. Chosen, not measured; the state it ends in never counts if it is worse than the start."""
Names = NDArray[np.int64]


class ElementEnergy:
    """Twice the negative log-likelihood of an option (an element, with or without hydrogen) at each site together.

    Parameters
    ----------
    evidence
        Of the intensities, for all options of all sites, numbered one after the other.
    options
        Of each site; an assignment is the number of one of them for each.
    site_cost
        Of each option by itself, in the same order as the evidence.
    weights
        (sites,) atoms of the cell per site.
    wanted
        Atoms in the cell by element, None if the composition is not known.
    penalty
        For one site of the typical weight too many or too few of an element.
    shells
        The nearest atoms of each site, bonded or not; without them nothing is said of what is like or unlike.
    """

    def __init__(
        self,
        evidence: Evidence,
        options: Sequence[Sequence[Option]],
        sites: Sequence[Environment],
        *,
        site_cost: NDArray[np.float64],
        weights: NDArray[np.float64],
        wanted: Mapping[str, float] | None,
        penalty: float,
        scale: float,
        shells: Sequence[Shell] = (),
    ) -> None:
        self.options, self._evidence, self._site_cost = options, evidence, site_cost
        self._sites, self._scale, self._weights = sites, scale, weights
        self._shells = shells or [NOTHING_NEAR] * len(sites)
        self.first = np.concatenate([[0], np.cumsum([len(row) for row in options])[:-1]]).astype(np.int64)
        self._elements = sorted({option.element for row in options for option in row})
        self._number = [[self._elements.index(option.element) for option in row] for row in options]
        self._wanted = None if wanted is None else np.array([wanted.get(name, 0.0) for name in self._elements])
        self._penalty = 0.0 if wanted is None else penalty / float(np.median(weights))
        self._near = [
            tuple(sorted({*site.neighbours, *shell.atoms})) for site, shell in zip(sites, self._shells, strict=True)
        ]
        self._around = [tuple(sorted({i, *row})) for i, row in enumerate(self._near)]
        self._known: dict[tuple[int, ...], float] = {}

    def element(self, i: int, option: int) -> str:
        """Return the element of an option of a site."""
        return self.options[i][option].element

    def total(self, state: Names) -> float:
        """Return the cost of an assignment, (sites,) options, less a constant."""
        chosen = self.first + state
        fit = float(self._evidence.gram[np.ix_(chosen, chosen)].sum() - 2.0 * self._evidence.linear[chosen].sum())
        bonds = sum(self._site(i, state) for i in range(len(state)))
        return fit + float(self._site_cost[chosen].sum()) + bonds + self._count_cost(self._counts(state))

    def change(self, state: Names, moves: Sequence[tuple[int, int]]) -> float:
        """Return the change of the cost when sites are given other options: (site, option) each."""
        touched = sorted({j for i, _ in moves for j in self._around[i]})
        old = [int(state[i]) for i, _ in moves]
        counts = self._counts(state) if self._penalty else np.zeros(0)
        cost = -sum(self._site(j, state) for j in touched) - self._count_cost(counts)
        for i, option in moves:
            cost += self._fit_change(state, i, option)
            if self._penalty:
                counts[self._number[i][state[i]]] -= self._weights[i]
                counts[self._number[i][option]] += self._weights[i]
            state[i] = option
        cost += sum(self._site(j, state) for j in touched) + self._count_cost(counts)
        for (i, _), option in zip(moves, old, strict=True):
            state[i] = option
        return cost

    def _fit_change(self, state: Names, i: int, option: int) -> float:
        gram, linear = self._evidence
        old, new = self.first[i] + state[i], self.first[i] + option
        others = self.first + state
        across = float((gram[new, others] - gram[old, others]).sum()) - float(gram[new, old] - gram[old, old])
        change = 2.0 * across + float(gram[new, new] - gram[old, old]) - 2.0 * float(linear[new] - linear[old])
        return change + float(self._site_cost[new] - self._site_cost[old])

    def _site(self, i: int, state: Names) -> float:
        key = (i, self._number[i][state[i]], *(self._number[j][state[j]] for j in self._near[i]))
        if key not in self._known:
            around = {j: self._elements[number] for j, number in zip(self._near[i], key[2:], strict=True)}
            element = self._elements[key[1]]
            bonds = site_cost(element, self._sites[i], around, scale=self._scale)
            self._known[key] = bonds + like_cost(element, self._shells[i], around)
        return self._known[key]

    def _counts(self, state: Names) -> NDArray[np.float64]:
        numbers = [row[option] for row, option in zip(self._number, state, strict=True)]
        return np.bincount(numbers, weights=self._weights, minlength=len(self._elements)).astype(np.float64)

    def _count_cost(self, counts: NDArray[np.float64]) -> float:
        return 0.0 if self._wanted is None else self._penalty * float(np.abs(counts - self._wanted).sum())

    def alternatives(self, state: Names, i: int) -> list[int]:
        """Return the options of a site but the chosen one."""
        return [option for option in range(len(self.options[i])) if option != state[i]]

    def exchange(self, state: Names, i: int, j: int) -> list[list[tuple[int, int]]]:
        """Return the moves that give two sites each other's element, in all combinations of hydrogen."""
        mine, yours = self.element(i, int(state[i])), self.element(j, int(state[j]))
        if mine == yours:
            return []
        first = [k for k, option in enumerate(self.options[i]) if option.element == yours]
        second = [k for k, option in enumerate(self.options[j]) if option.element == mine]
        return [[(i, one), (j, other)] for one in first for other in second]


def sample(energy: ElementEnergy, state: Names, rng: np.random.Generator) -> list[dict[str, float]]:
    """Return how often each site has each element in assignments as likely as their cost says.

    Metropolis's rule on exp(-cost / 2 T), with changes of one site and exchanges of two. The temperature T, and what
    the first option of each site has ahead, are such that what is stated is how often it is right.
    """
    state = state.copy()
    seen: list[dict[str, float]] = [{} for _ in state]
    for turn in range(SWEEPS + BURN_IN):
        _sweep(energy, state, TEMPERATURE, rng, ahead=TRIED)
        if turn >= BURN_IN:
            for i, option in enumerate(state):
                name = energy.element(i, int(option))
                seen[i][name] = seen[i].get(name, 0.0) + 1.0 / SWEEPS
    return seen


def lowest(energy: ElementEnergy, state: Names, rng: np.random.Generator) -> Names:
    """Return the assignment of least cost that simulated annealing and single steps find; never a worse one."""
    best, least = state.copy(), energy.total(state)
    trial = state.copy()
    for temperature in ANNEALING:
        for _ in range(4):
            _sweep(energy, trial, temperature, rng)
    for start in (trial, state.copy()):
        _downhill(energy, start)
        if (value := energy.total(start)) < least - 1e-9:
            best, least = start, value
    return best


def _downhill(energy: ElementEnergy, state: Names) -> None:
    """Change single sites and exchange pairs, in place, while that lowers the cost."""
    for _ in range(20):
        improved = False
        for i in range(len(state)):
            moves = [[(i, k)] for k in energy.alternatives(state, i)]
            moves += [move for j in range(i) for move in energy.exchange(state, i, j)]
            for move in moves:
                if energy.change(state, move) < -1e-9:
                    for site, option in move:
                        state[site] = option
                    improved = True
                    break
        if not improved:
            return


def exchanges(energy: ElementEnergy, state: Names, *, most: int, below: float) -> list[Names]:
    """Return the assignments that differ by the exchange of two elements and cost at most `below` more, best first."""
    found = []
    for i in range(len(state)):
        for j in range(i):
            moves = energy.exchange(state, i, j)
            costs = [energy.change(state, move) for move in moves]
            if costs and min(costs) < below:
                found.append((min(costs), i, j, moves[int(np.argmin(costs))]))
    trials = []
    for _, _, _, move in sorted(found, key=lambda item: item[:3])[:most]:
        trial = state.copy()
        for site, option in move:
            trial[site] = option
        trials.append(trial)
    return trials


def _sweep(
    energy: ElementEnergy, state: Names, temperature: float, rng: np.random.Generator, *, ahead: float = 0.0
) -> None:
    count = len(state)
    for i in range(count):
        proposals = []
        if others := energy.alternatives(state, i):
            proposals.append([(i, others[int(rng.integers(len(others)))])])
        if moves := energy.exchange(state, i, int(rng.integers(count))):
            proposals.append(moves[int(rng.integers(len(moves)))])
        for move in proposals:
            if any(state[site] == option for site, option in move):
                continue
            lost = sum(int(state[site] == 0) - int(option == 0) for site, option in move)
            cost = energy.change(state, move) + ahead * lost
            if cost <= 0.0 or rng.random() < np.exp(-cost / (2.0 * temperature)):
                for site, option in move:
                    state[site] = option
