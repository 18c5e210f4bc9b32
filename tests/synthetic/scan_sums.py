"""Sums of whole scans drawn from Poisson's law: a beam, a halo that falls, and reflections on Laue circles."""

import numpy as np

SHAPE = (288, 288)
CENTRE = np.array([143.5, 143.5])


def scan_sums(
    scans: int, *, seed: int, electrons: float = 8000.0, background: float = 0.12, strong: float = 0.3
) -> np.ndarray:
    """Return sums (scans, slow, fast) of a sound detector.

    Parameters
    ----------
    electrons
        Of a scan, on average.
    background, strong
        Shares that fall on the halo, and on reflections on a circle through the beam that moves with the tilt.
    """
    rng = np.random.default_rng(seed)
    sums = np.zeros((scans, *SHAPE), dtype=np.uint32)
    for scan in range(scans):
        radius = rng.gamma(2.0, 35.0, rng.poisson(electrons * background))
        turn = rng.uniform(0, 2 * np.pi, len(radius))
        places = [np.stack([radius * np.sin(turn), radius * np.cos(turn)], axis=1)]
        middle = 400.0 * np.array([np.sin(0.1 * scan + 0.3), np.cos(0.1 * scan + 0.3)])
        grid = np.stack(np.meshgrid(*[np.arange(-14, 15) * 10.5] * 2, indexing="ij"), axis=-1).reshape(-1, 2)
        off = np.abs(np.linalg.norm(grid - middle, axis=1) - 400.0)
        strength = rng.exponential(1.0, len(grid)) * np.exp(-0.5 * (off / 8.0) ** 2)
        counts = rng.poisson(electrons * strong * strength / strength.sum())
        places += [np.repeat(grid, counts, axis=0), np.zeros((rng.poisson(electrons * (1 - background - strong)), 2))]
        place = np.concatenate(places)
        pixel = np.rint(place + rng.normal(0.0, 1.0, place.shape) + CENTRE).astype(int)
        pixel = pixel[((pixel >= 0) & (pixel < SHAPE)).all(axis=1)]
        np.add.at(sums[scan], tuple(pixel.T), 1)
    return sums
