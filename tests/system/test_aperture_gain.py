"""Two crystals that overlap: what the choice of positions is worth is measured and reported."""

from pathlib import Path

import pytest

from adapters.formats.simulated_series import write_simulated_series
from flows.progress import QuietSteps
from flows.run_folder import read_results
from flows.runs import run_pipeline
from flows.settings import load_settings
from tasks.simulate.demo_structure import uio66
from tasks.simulate.models import ClusterPlan
from tests.synthetic.coarse_series import coarse_case


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("overlap")
    cluster = ClusterPlan(crystals=2, size_nm=110.0, bad_fraction=0.0, overlap=0.4)
    write_simulated_series(uio66(), coarse_case().model_copy(update={"cluster": cluster}), folder / "source")
    return run_pipeline(folder / "source", folder / "run", load_settings(None, []), QuietSteps())


def test_all_positions_are_measured_beside_the_chosen_ones(run: Path) -> None:
    results = read_results(run)
    compared = [crystal for crystal in results["crystals"] if crystal["aperture"]["gain"] is not None]
    assert len(compared) == 2
    for crystal in compared:
        gain, scores = crystal["aperture"]["gain"], crystal["aperture"]["scores"]
        chosen, everything = gain["chosen"], gain["all_positions"]
        assert chosen["positions"] == sum(crystal["aperture"]["positions_per_tilt"]) < everything["positions"]
        assert chosen["cc_half"] == pytest.approx(crystal["integration"]["cc_half"], abs=1e-3)
        assert chosen["r1"] == crystal["refinement"]["r1"]
        assert 0 < everything["r1"] < 0.2
        assert scores["clean"]["purity"] > scores["all_positions"]["purity"]
