"""The table of formats that users read names what `apertura inspect` knows, and nothing else."""

from pathlib import Path
from typing import get_args

from adapters.formats.file_format import Kind
from adapters.formats.inspect_file import FORMATS

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "adapters" / "README.md"
REFUSED = {"Jana reflections"}
"""Known by name, so that the error says what to give in its place."""


def rows() -> list[tuple[str, set[str]]]:
    """Return name and kinds of each row of the table of formats."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    begin = next(number for number, line in enumerate(lines) if line.startswith("| format |"))
    found = []
    for line in lines[begin + 2 :]:
        if not line.startswith("|"):
            break
        name, kinds = (cell.strip() for cell in line.split("|")[1:3])
        found.append((name, set(kinds.split(", "))))
    return found


def test_the_table_has_a_row_for_each_format_that_is_known_in_the_order_in_which_they_are_asked() -> None:
    assert [name for name, _ in rows()] == [known.name for known in FORMATS]


def test_each_kind_is_one_that_inspect_prints() -> None:
    assert all(kinds <= set(get_args(Kind)) for _, kinds in rows())


def test_the_first_page_names_every_format_of_scans_frames_and_reflections() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    table = text[text.index("| kind | formats") :].split("\n\n")[0]
    read = [name for name, kinds in rows() if kinds & {"scan", "frames", "reflections"} and name not in REFUSED]
    assert [name for name in read if name.split(" (")[0] not in table] == []
