"""Lists read at once are what reading them line by line gives, or are left to it."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.formats import hklf4
from adapters.formats.fixed_columns import fixed_block
from tasks.model import SourceError

NAMES = ("tyrosine/2.hkl", "natrolite/natrolite_kin.hkl", "luag/LuAG_allframes.hkl", "l-alanine/iam.hkl")


def line(h: int, k: int, l: int, intensity: str, sigma: str, batch: str = "") -> str:
    return f"{h:4d}{k:4d}{l:4d}{intensity:>8}{sigma:>8}{batch}"


def by_line(lines: list[str]) -> list[np.ndarray] | str:
    try:
        return list(hklf4._of_rows(list(hklf4._rows("a", lines, hklf4._fixed))))
    except (SourceError, ValueError) as error:
        return str(error)


@pytest.mark.needs_shared
@pytest.mark.parametrize("name", NAMES)
def test_real_lists_are_read_at_once_and_as_line_by_line(shared_data: Path, name: str) -> None:
    lines = (shared_data / name).read_text().splitlines()
    found = fixed_block(lines)
    assert found is not None
    for mine, theirs in zip(found[0], by_line(lines), strict=True):
        assert np.array_equal(mine, theirs)


numbers = st.one_of(
    st.floats(-9999, 99999).map(lambda value: f"{value:.2f}"), st.integers(-999, 99999).map(str), st.just("1.5e3"),
    st.sampled_from(["nan", "inf", "", "1 2", "x", "12345678", "-1234.56"]),
)  # fmt: skip
indices = st.integers(-99, 999)
rows = st.builds(
    line, indices, indices, indices, numbers, numbers, st.sampled_from(["    ", "   1", "  -2", "   x", "1e 3"])
)


@given(lines=st.lists(rows, min_size=1, max_size=6), end=st.sampled_from([[], [""], ["   0   0   0"], ["_cell 1"]]))
@settings(deadline=None, max_examples=400)
def test_what_is_taken_at_once_is_what_is_taken_line_by_line(lines: list[str], end: list[str]) -> None:
    found = fixed_block(lines)
    expected = by_line(lines + end)
    if found is not None and len(found[0].hkl):
        assert not isinstance(expected, str), expected
        for mine, theirs in zip(found[0], expected, strict=True):
            assert np.array_equal(mine, theirs)


def test_a_list_ends_at_three_zeros_whatever_follows() -> None:
    lines = [line(1, 2, 3, "10.00", "1.00"), line(0, 0, 0, "0.00", "0.00"), line(4, 5, 6, "x", "1.00")]
    assert hklf4.parse_hklf("\n".join(lines), "a").data.hkl.tolist() == [[1, 2, 3]]


def test_a_bad_line_further_on_is_named_by_its_number() -> None:
    lines = [line(1, 2, number, "10.00", "1.00") for number in range(300)] + ["no reflection at all in this line"]
    with pytest.raises(SourceError, match="a, line 301"):
        hklf4.parse_hklf("\n".join(lines), "a")


def test_numbers_without_a_point_have_two_decimals() -> None:
    found = hklf4.parse_hklf(line(1, 2, 3, "1234", "1.5"), "a")
    assert (found.data.intensity.tolist(), found.data.sigma.tolist()) == ([12.34], [1.5])
