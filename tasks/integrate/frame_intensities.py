"""Intensities frame by frame, for dynamical refinement: as measured, or summed over virtual frames.

Source of virtual frames: Palatinus et al., Acta Cryst. B75, 512-522 (2019); Klar et al., Nat. Chem. 15, 848-855 (2023):
frames of a continuous rotation are summed over ranges wide enough to hold most of a reflection's rocking curve.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from tasks.frames import FrameSeries, partition
from tasks.integrate.geometry.mapping import rotations
from tasks.model.arrays import Floats

VIRTUAL_DEG = 2.27
"""Turn of a virtual frame: that of the published refinement of albite in 3D ED, 50 frames of 0.0455 degrees."""
STEP_SHARE = 0.6
"""From one virtual frame to the next, of its turn: 30 of those 50 frames. Neighbours overlap by 0.9 degrees, so that a
rocking curve narrower than that is whole in one of them."""


class FrameIntensities(NamedTuple):
    """What was measured of one crystal, frame by frame.

    ``setting`` (frames, 3, 3) takes hkl to the scattering vector in the laboratory, 1/angstrom, ``basis`` (3, 3) does
    at goniometer zero; ``angle_deg``, ``width_deg`` (frames,): middle of the exposure and turn; ``axis`` (3,). ``hkl``
    (n, 3), ``intensity``, ``sigma`` (n,) in electrons, ``frame`` (n,) place of the frame. ``curve``: width of the
    rocking curve in 1/angstrom and mosaic spread in degrees. ``merged``: how many frames each one is the sum of, and
    how many lie from one to the next.
    """

    setting: Floats
    basis: Floats
    angle_deg: Floats
    width_deg: Floats
    axis: Floats
    hkl: NDArray[np.int32]
    intensity: Floats
    sigma: Floats
    frame: NDArray[np.int64]
    curve: tuple[float, float]
    merged: tuple[int, int] = (1, 1)


def virtual_frames(measured: FrameIntensities, series: FrameSeries) -> FrameIntensities:
    """Return the sums over virtual frames of a rotation without gaps; stills and single wide frames stay as they are.

    A virtual frame does not reach over a gap. A reflection that is not measured on some frame between others of a
    virtual frame is left out of it: its sum would lack a part.
    """
    width = float(np.median(measured.width_deg))
    number = round(VIRTUAL_DEG / width) if width > 0 else 1
    parts = partition(series)
    if number < 2 or not all(part.exact for part in parts):
        return measured
    step = max(1, round(STEP_SHARE * number))
    windows = [
        np.array(part.indices[begin : begin + number])
        for part in parts
        for begin in range(0, max(1, len(part.indices) - number + step), step)
    ]
    windows = [window for window in windows if len(window) == number]
    if not windows:
        return measured
    rows = [_summed(measured, window) for window in windows]
    settings, angles = zip(*[_middle(measured, window) for window in windows], strict=True)
    return measured._replace(
        setting=np.array(settings),
        angle_deg=np.array(angles),
        width_deg=np.full(len(windows), number * width),
        hkl=np.concatenate([hkl for hkl, _, _ in rows]),
        intensity=np.concatenate([intensity for _, intensity, _ in rows]),
        sigma=np.concatenate([sigma for _, _, sigma in rows]),
        frame=np.repeat(np.arange(len(windows)), [len(hkl) for hkl, _, _ in rows]),
        merged=(number, step),
    )


def _summed(measured: FrameIntensities, window: NDArray[np.int64]) -> tuple[NDArray[np.int32], Floats, Floats]:
    """Return hkl (m, 3), sums and their sigmas (m,) of the reflections measured on frames without a break."""
    inside = np.isin(measured.frame, window)
    hkl, member = np.unique(measured.hkl[inside], axis=0, return_inverse=True)
    member = member.ravel()
    frame = measured.frame[inside]
    first, last = np.full(len(hkl), len(measured.setting)), np.full(len(hkl), -1)
    np.minimum.at(first, member, frame)
    np.maximum.at(last, member, frame)
    whole = np.bincount(member, minlength=len(hkl)) == last - first + 1
    total = np.bincount(member, weights=measured.intensity[inside], minlength=len(hkl))
    variance = np.bincount(member, weights=measured.sigma[inside] ** 2, minlength=len(hkl))
    return hkl[whole], total[whole], np.sqrt(variance[whole])


def _middle(measured: FrameIntensities, window: NDArray[np.int64]) -> tuple[Floats, float]:
    """Return the matrix (3, 3) of a virtual frame at its middle angle, by the mean of its frames' orientations."""
    angle = float(measured.angle_deg[window].mean())
    turned = rotations(measured.axis, angle - measured.angle_deg[window]) @ measured.setting[window]
    inverse = np.linalg.inv(measured.basis)
    return Rotation.from_matrix(turned @ inverse).mean().as_matrix() @ measured.basis, angle
