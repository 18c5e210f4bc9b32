"""Copy to all tilts: the mask of one tilt carried by the drift of the field, and how sure that is, said."""

import threading

import numpy as np
from numpy.typing import NDArray

from flows.studio.desk import Desk
from flows.studio.errands import Errands, Tell
from flows.studio.work_process import StoppedError
from tasks.drawing import Carried, Drift, carry, find_drift

UNSURE = 0.5
"""Sureness of a carried mask below which the tilt is named, to be looked at. Chosen, not measured: half alike."""
NAMED = 6
"""Tilts that are named at most. Chosen, not measured: a line holds them."""


class Copying:
    """Carries masks of one desk; the drift of its series is found once."""

    def __init__(self, desk: Desk, errands: Errands) -> None:
        self._desk, self._errands = desk, errands
        self._drift: Drift | None = None

    def start(self) -> None:
        """Carry the chosen crystal's mask at this tilt to all others, in the background; it can be undone."""
        desk, one = self._desk, self._desk.selected
        if one is None:
            desk.say("No crystal is chosen\nchoose one in the list, or draw one", "warning")
            return
        tilt, mask = desk.tilt, one.mask(desk.tilt)
        if not mask.any():
            desk.say(f"{one.label} has no position at this tilt\ndraw around it first, or choose a tilt", "warning")
            return

        def work(tell: Tell, stop: threading.Event) -> Carried:
            drift = self._found(tell, stop)
            tell("carrying the mask")
            return carry(desk.scene, mask, tilt=tilt, to=range(len(desk.scene.tilt_deg)), drift=drift)

        def done(carried: Carried) -> None:
            if one.id not in desk.drawing.ids:
                desk.say(f"{one.label} is gone: nothing was copied.", "warning")
                return
            angle = desk.scene.tilt_deg[tilt]
            desk.do(
                f"{one.label}: copied from {angle:.1f}° to all tilts", desk.drawing.with_masks(one.id, carried.masks)
            )
            desk.say(*outcome(one.label, carried.sureness, desk.scene.tilt_deg))

        self._errands.start(f"Copying {one.label}", work, done)

    def _found(self, tell: Tell, stop: threading.Event) -> Drift:
        if self._drift is None:

            def told(part: float) -> None:
                if stop.is_set():
                    raise StoppedError("stopped", "")
                tell(f"finding the drift, {part:.0%}")

            self._drift = find_drift(self._desk.scene, tell=told)
        return self._drift


def outcome(label: str, sureness: NDArray[np.float64], tilt_deg: tuple[float, ...]) -> tuple[str, str]:
    """Return what came of a copy, with the tilts to look at, least sure first, and the kind of the message."""
    order = np.argsort(sureness)
    doubtful = [f"{tilt_deg[tilt]:.1f}°" for tilt in order if sureness[tilt] < UNSURE]
    said = f"{label} is copied to all {len(tilt_deg)} tilts"
    if not doubtful:
        return f"{said}.", "done"
    named = ", ".join(doubtful[:NAMED]) + (f" and {len(doubtful) - NAMED} more" if len(doubtful) > NAMED else "")
    return f"{said}, less surely at {len(doubtful)}\nlook at {named}", "warning"
