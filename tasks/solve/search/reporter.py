"""What a long search says while it goes on."""

import logging

from tasks.solve.search.progress import SearchProgress

log = logging.getLogger("apertura.search")

TOLD_AGAIN = 2
"""A search whose best model stays the same says so each time that its trials are so many times those told of last."""


class Reporter:
    """Logs what was tried and how good the best model is, when that has changed or trials have doubled."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._told_at = 0
        self._told = ""

    def tell(self, progress: SearchProgress, *, most: int) -> None:
        """Log a line, if there is something new to say."""
        state = _in_words(progress)
        if state == self._told and progress.trials < TOLD_AGAIN * self._told_at:
            return
        self._told, self._told_at = state, progress.trials
        log.info("%s: %d of at most %d trials, %s", self._name, progress.trials, most, state)


def _in_words(progress: SearchProgress) -> str:
    best = progress.best()
    if best is None:
        return "no model yet"
    left_out = best.judgement.figures["r_free"]
    figures = f"R1 {best.built.fit.r1:.3f}" + ("" if left_out >= 1.0 else f", {left_out:.3f} of left-out reflections")
    return f"best in {best.task.symmetry.symbol}: {figures}, {best.judgement.verdict}"
