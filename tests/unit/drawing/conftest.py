"""A simulated series with drift, turned in the scan, made once."""

import pytest

from tasks.simulate import ClusterPlan, Instrument, SimulationSettings, TiltPlan, uio66
from tests.synthetic.simulated_store import simulated_store

SETTINGS = SimulationSettings(
    seed=11,
    tilts=TiltPlan(start_deg=-30, stop_deg=30, step_deg=6),
    cluster=ClusterPlan(crystals=3, size_nm=130, bad_fraction=0, overlap=0.2, drift_px=1.0, height_nm=200),
    instrument=Instrument(shape_px=(320, 320), scan_shape=(38, 38), scan_rotation_deg=-37, tilt_axis=(0.8, 0.6, 0.0)),
)


@pytest.fixture(scope="session")
def drifting(tmp_path_factory):
    """Return the series and its truth, ``thickness`` (n_tilts, k, ny, nx)."""
    return simulated_store(uio66(), SETTINGS, tmp_path_factory.mktemp("drifting"))
