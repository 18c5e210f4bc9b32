"""Lists of twin domains, read and written."""

from pathlib import Path

import numpy as np
import pytest

from adapters.formats.hklf4 import parse_hklf, read_hklf
from adapters.formats.hklf5 import hklf5_text
from tasks.integrate import DomainOverlaps
from tasks.model import SourceError


@pytest.mark.parametrize(
    ("rows", "message"),
    [([(1, 100.0), (-2, 80.0)], "ends within a group"), ([(1, 100.0), (0, 80.0)], "a batch is the number of a domain")],
)
def test_a_list_that_makes_no_sense_says_what_is_wrong(
    tmp_path: Path, rows: list[tuple[int, float]], message: str
) -> None:
    (tmp_path / "a.hkl").write_text("".join(f"{n:4d}   0   1{i:8.2f}    2.00{b:4d}\n" for n, (b, i) in enumerate(rows)))
    with pytest.raises(SourceError, match=message):
        read_hklf(tmp_path / "a.hkl", form=5)


def test_what_is_written_is_read_again_with_every_group(tmp_path: Path) -> None:
    overlaps = DomainOverlaps(
        np.array([[1, 2, 3], [-1, 2, 4], [2, 0, 0], [0, 0, 5], [1, 0, 1], [3, 3, 1]], dtype=np.int32),
        np.array([1, 2, 1, 2, 3, 1], dtype=np.int32),
        np.array([0, 0, 1, 2, 3, 3], dtype=np.int32),
        np.array([812.5, 30.25, 9.0, 77.75]),
        np.array([12.5, 1.0, 2.25, 3.0]),
    )
    again = parse_hklf(hklf5_text(overlaps), "a.hkl").overlaps
    assert again is not None
    scale = again.intensity[0] / overlaps.intensity[0]
    assert again.hkl.tolist() == overlaps.hkl.tolist()
    assert again.domain.tolist() == overlaps.domain.tolist()
    assert again.observation.tolist() == overlaps.observation.tolist()
    assert again.intensity == pytest.approx(scale * overlaps.intensity, rel=1e-4)
    assert again.sigma == pytest.approx(scale * overlaps.sigma, rel=1e-3)
