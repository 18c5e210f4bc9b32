"""What was done to a drawing, to be undone and done again."""

from typing import NamedTuple

from tasks.drawing.crystals import Drawing

STEPS = 500
"""Steps that can be undone. Chosen, not measured: more than a person remembers."""
MOST_BYTES = 64 * 2**20
"""Of the masks that only past and undone drawings hold. Chosen, not measured: at 256 x 256 positions 8192 strokes,
each at one tilt, or 100 copies to 81 tilts."""


class Step(NamedTuple):
    """What was done, the drawing that came of it, and the bytes of the masks that it replaced."""

    what: str
    drawing: Drawing
    replaced_bytes: int


class History:
    """The drawing as it is, as it was, and as it would be if what was undone were done again.

    Drawings share the planes they agree in: a stroke at one tilt costs one plane of bits. The oldest steps can no
    longer be undone when there are more than `steps`, or when they hold more than `most_bytes`; what was done is still
    told.
    """

    def __init__(self, drawing: Drawing, *, steps: int = STEPS, most_bytes: int = MOST_BYTES) -> None:
        self._first = drawing
        self._done: list[Step] = []
        self._undone: list[Step] = []
        self._settled: list[str] = []
        self._steps, self._most_bytes = steps, most_bytes

    @property
    def now(self) -> Drawing:
        """The drawing as it is."""
        return self._done[-1].drawing if self._done else self._first

    @property
    def can_undo(self) -> bool:
        """Whether a step is remembered that can be undone."""
        return bool(self._done)

    @property
    def can_redo(self) -> bool:
        """Whether a step was undone that can be done again."""
        return bool(self._undone)

    @property
    def changes(self) -> tuple[str, ...]:
        """What was done and not undone, in words, oldest first."""
        return (*self._settled, *(step.what for step in self._done))

    @property
    def replaced_bytes(self) -> int:
        """Of the masks that only past and undone drawings hold, at most."""
        return sum(step.replaced_bytes for step in (*self._done, *self._undone))

    def do(self, what: str, drawing: Drawing) -> bool:
        """Make a drawing the present one; what was undone is forgotten. Return False if it is the present one."""
        if drawing == self.now:
            return False
        self._done.append(Step(what, drawing, _replaced_bytes(self.now, drawing)))
        self._undone.clear()
        while len(self._done) > self._steps or (len(self._done) > 1 and self.replaced_bytes > self._most_bytes):
            oldest = self._done.pop(0)
            self._first = oldest.drawing
            self._settled.append(oldest.what)
        return True

    def undo(self) -> str | None:
        """Go one step back; return what is undone, None if there is nothing."""
        if not self._done:
            return None
        self._undone.append(self._done.pop())
        return self._undone[-1].what

    def redo(self) -> str | None:
        """Do again what was undone last; return what it is, None if there is nothing."""
        if not self._undone:
            return None
        self._done.append(self._undone.pop())
        return self._done[-1].what


def _replaced_bytes(old: Drawing, new: Drawing) -> int:
    """Return the bytes of the planes of crystals that changed or went, less those that the new drawing has too."""
    kept = {id(one.planes) for one in new.crystals}
    held = {id(plane) for one in new.crystals for plane in one.planes}
    gone = [one.planes for one in old.crystals if id(one.planes) not in kept]
    return sum(len(plane) for planes in gone for plane in planes if id(plane) not in held)
