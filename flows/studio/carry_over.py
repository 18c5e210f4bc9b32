"""A mask of one tilt at all others: carried by the drift of the field and by where its crystal lies."""

from typing import NamedTuple

from flows.studio.sketch import Mask
from tasks.drawing import Carried, Drift, Scene, carry, find_drift

DOUBTFUL = 0.3
"""Sureness below which a tilt is named to be looked at. Chosen, not measured: a third of its scale."""
NAMED = 3
"""Doubtful tilts that are named, the least sure first."""


class CarriedOver(NamedTuple):
    """What was carried, and whose it is."""

    crystal: str
    carried: Carried


class CarryOver:
    """Carries masks of one series; the drift is found once."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._drift: Drift | None = None

    def all_tilts(self, crystal: str, mask: Mask, tilt: int) -> CarriedOver:
        """Return the mask (ny, nx) of a crystal carried to all tilts; ValueError if it is empty."""
        if self._drift is None:
            self._drift = find_drift(self._scene)
        tilts = range(len(self._scene.tilt_deg))
        return CarriedOver(crystal, carry(self._scene, mask, tilt=tilt, to=tilts, drift=self._drift))


def carried_text(carried: Carried, tilt_deg: tuple[float, ...]) -> str:
    """Return how far a mask was carried, and where a person should look."""
    order = sorted(range(len(tilt_deg)), key=lambda tilt: float(carried.sureness[tilt]))
    doubtful = [tilt for tilt in order if carried.sureness[tilt] < DOUBTFUL]
    there = int(carried.masks.any(axis=(1, 2)).sum())
    said = f"Carried to {there} of {len(tilt_deg)} tilts"
    if not doubtful:
        return f"{said}, least sure at {tilt_deg[order[0]]:.1f}\u00b0 ({carried.sureness[order[0]]:.2f} of 1)."
    named = ", ".join(f"{tilt_deg[tilt]:.1f}\u00b0" for tilt in doubtful[:NAMED])
    more = " and others" if len(doubtful) > NAMED else ""
    return f"{said}; {len(doubtful)} are doubtful.\nLook at {named}{more}."
