"""The share of a crystal in its aperture, against the truth, and what frames are scaled by first."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from tasks.apertures.automatic import AutomaticApertures
from tasks.frames.models import Frame
from tasks.integrate.rocking.scaling import illuminated
from tasks.model import FileRef
from tasks.simulate.models import ClusterPlan, Instrument, SimulationSettings, TiltPlan
from tests.synthetic.bare_frames import frames_at
from tests.synthetic.simulated_store import simulated_store
from tests.synthetic.structures import natrolite


def test_the_share_tells_how_much_of_a_crystal_gave_to_a_frame_better_than_positions_do(tmp_path: Path) -> None:
    settings = SimulationSettings(
        seed=3,
        tilts=TiltPlan(start_deg=-42, stop_deg=42, step_deg=4),
        cluster=ClusterPlan(crystals=2, size_nm=120, bad_fraction=0, overlap=0.35),
        instrument=Instrument(scan_shape=(32, 32)),
    )
    series, truth = simulated_store(natrolite(), settings, tmp_path)
    crystals = AutomaticApertures().propose(series, tmp_path).crystals
    assert len(crystals) == 2
    for crystal in crystals:
        with h5py.File(crystal.masks.path) as file:
            masks = np.asarray(file["masks"], dtype=bool)
        inside = np.einsum("thw,tkhw->tk", masks.astype(float), truth.thickness)
        own = inside[:, inside.sum(axis=0).argmax()]
        share = np.array(crystal.share_per_tilt)
        known = (share > 0) & (own > 0)
        assert known.mean() > 0.9
        by_share = np.log(share[known] / own[known]).std()
        by_positions = np.log(masks.sum(axis=(1, 2))[known] / own[known]).std()
        assert by_share < 0.04
        assert by_share < 0.5 * by_positions


def test_frames_without_a_share_take_the_place_of_their_positions(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("x")

    series = frames_at(np.arange(4.0), FileRef.of(tmp_path / "x"))

    def with_frames(shares: list[float | None], positions: list[int]) -> np.ndarray | None:
        frames = [
            Frame(number=i, angle_deg=float(i), width_deg=0, counts=1, positions=n, share=share)
            for i, (share, n) in enumerate(zip(shares, positions, strict=True))
        ]
        return illuminated(series.model_copy(update={"frames": tuple(frames)}))

    assert with_frames([None] * 4, [0, 5, 5, 5]) is None
    assert with_frames([None] * 4, [10, 20, 20, 40]) == pytest.approx([0.5, 1, 1, 2])
    assert with_frames([0.2, 0.4, None, 0.4], [10, 20, 10, 20]) == pytest.approx(np.array([0.2, 0.4, 0.2, 0.4]) / 0.3)
