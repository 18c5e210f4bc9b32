"""Loss of scale and fall-off of a crystal without symmetry: reflections measured on frames near each other only."""

import numpy as np

from tasks.integrate.damage.fading import with_fading
from tasks.integrate.damage.fall_off import FallOff, with_fall_off
from tasks.integrate.rocking.fit import refine_model
from tasks.integrate.rocking.model import RockingFit, RockingObservations
from tasks.integrate.rocking.scaling import first_model

FRAMES, GROUPS = 60, 1500
EXPOSURE = (np.arange(FRAMES) + 0.5) / FRAMES


def measured(seed: int, *, loss: float = 0.0, fall_off: float = 0.0) -> RockingObservations:
    """Return observations at the peak of a curve of width 0.001: reflections on two frames, the further the larger |q|.

    So Friedel mates lie in a tilt series. What all lose and what falls off with |q| are alike in them, but for the
    spread of |q|.
    """
    rng = np.random.default_rng(seed)
    length = rng.uniform(0.3, 1.25, GROUPS)
    first = rng.integers(0, FRAMES, GROUPS)
    second = first + np.rint(1.5 * length * rng.uniform(0.3, 1.0, GROUPS)).astype(np.int64) + 1
    group, frame = np.repeat(np.arange(GROUPS), 2), np.stack([first, second], axis=1).ravel()
    seen = frame < FRAMES
    group, frame = group[seen], frame[seen]
    left = np.exp(-EXPOSURE[frame] * (loss + fall_off * length[group] ** 2))
    counts = rng.poisson(rng.exponential(400.0, GROUPS)[group] * left).astype(float)
    none = np.zeros(len(group))
    return RockingObservations(counts, none, group, frame, length[group], none, none, np.zeros((len(group), 3)))


def fitted(observations: RockingObservations) -> RockingFit:
    """Return the fit before anything is asked of damage."""
    model = first_model(0.001, FRAMES, np.ones(FRAMES))._replace(spread=1e-5)
    return refine_model(model, observations, GROUPS, cycles=14, orientations=False)


def slope(fit: RockingFit) -> float:
    return float(np.polyfit(EXPOSURE, np.log(fit.model.scale), 1)[0])


def asked(seed: int, *, loss: float, fall_off: float) -> tuple[RockingFit, RockingFit, FallOff]:
    """Return the fit before, the fit after, and what was found of a fall-off."""
    observations = measured(seed, loss=loss, fall_off=fall_off)
    plain = fitted(observations)
    faded = with_fading(plain, observations, GROUPS, EXPOSURE)
    after, found = with_fall_off(faded, observations, GROUPS, EXPOSURE)
    return plain, after, found


def test_a_sound_crystal_is_left_as_it_is() -> None:
    for seed in range(4):
        plain, after, found = asked(seed, loss=0.0, fall_off=0.0)
        assert after is plain
        assert abs(found.significance) < 2


def test_a_loss_that_all_share_is_in_the_scales_and_makes_no_fall_off() -> None:
    """The prior alone leaves half of it."""
    for seed in range(4):
        plain, after, found = asked(seed, loss=0.6, fall_off=0.0)
        assert slope(plain) > -0.45
        assert -0.75 < slope(after) < -0.45
        assert abs(found.significance) < 2
        assert after.model.decay is None


def test_a_fall_off_is_told_from_a_loss_that_all_share_within_its_esd() -> None:
    z = []
    for seed in range(6):
        _, after, found = asked(seed, loss=0.6, fall_off=0.7)
        assert after.model.decay is not None
        assert found.esd < 0.25
        z.append((found.rate - 0.7) / found.esd)
    assert abs(np.mean(z)) < 3 / np.sqrt(len(z))
    assert np.mean(np.square(z)) < 2.5
