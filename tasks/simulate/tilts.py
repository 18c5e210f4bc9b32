"""The plan of the tilts: angles, drift of the specimen and wandering of the direct beam."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.model import InputError
from tasks.simulate.models import SimulationSettings, TiltPlan


class TiltTable(NamedTuple):
    """Per scan: recorded and true tilt (n,), drift of the specimen (x, y) in nm (n, 2), direct beam in px (n, 2).

    ``order`` (n,) counts the scans as they are taken, from 0; ``dose_e_per_a2`` (n,) is what the specimen has had by
    the middle of each.
    """

    recorded_deg: NDArray[np.float64]
    true_deg: NDArray[np.float64]
    drift_nm: NDArray[np.float64]
    beam_px: NDArray[np.float64]
    order: NDArray[np.int64]
    dose_e_per_a2: NDArray[np.float64]


def tilt_table(settings: SimulationSettings, rng: np.random.Generator) -> TiltTable:
    """Return the tilts, rising; drift is a random walk, in the order they are taken, about the middle of the series."""
    instrument = settings.instrument
    recorded = _recorded_tilts(settings.tilts, rng)
    steps = rng.normal(0.0, settings.cluster.drift_px * instrument.step_nm, (len(recorded), 2))
    order = _order_taken(recorded, settings.tilts)
    walk = np.cumsum(steps, axis=0)[order]
    return TiltTable(
        recorded_deg=recorded,
        true_deg=recorded + rng.normal(0.0, settings.tilts.error_deg, len(recorded)),
        drift_nm=walk - walk[len(walk) // 2],
        beam_px=np.array(instrument.beam_centre_px) + rng.normal(0.0, instrument.beam_jitter_px, (len(recorded), 2)),
        order=order,
        dose_e_per_a2=np.asarray((order + 0.5) * settings.dose_e_per_a2, dtype=np.float64),
    )


def _order_taken(tilt_deg: NDArray[np.float64], plan: TiltPlan) -> NDArray[np.int64]:
    """Return the place of each scan, (n,), in the order they are taken."""
    if plan.order == "rising":
        return np.arange(len(tilt_deg))
    outwards = np.lexsort((-tilt_deg, np.round(np.abs(tilt_deg), 6)))  # the positive one of a pair first
    return np.argsort(outwards)


def _recorded_tilts(plan: TiltPlan, rng: np.random.Generator) -> NDArray[np.float64]:
    count = int(np.floor((plan.stop_deg - plan.start_deg) / plan.step_deg + 1e-9)) + 1
    regular = plan.start_deg + plan.step_deg * np.arange(count)
    tilts = np.asarray(plan.angles_deg or regular, dtype=np.float64)
    tilts = tilts + rng.normal(0.0, plan.jitter_deg, len(tilts))
    for low, high in plan.gaps_deg:
        tilts = tilts[(tilts < low) | (tilts > high)]
    if len(tilts) == 0:
        raise InputError("the plan of the tilts is empty: gaps_deg leaves no scan", "narrow the gaps")
    return np.repeat(np.unique(np.round(tilts, 4)), plan.repeats)
