"""The screen of `apertura inspect`: units, what is lacking and how it is given, no line too long."""

from adapters.formats.file_format import Inspection
from flows.inspection import WIDTH, advice, inspection_text


def test_units_stand_behind_values_and_lacks_say_how_they_are_given() -> None:
    text = inspection_text(
        Inspection(
            file="a.hkl",
            format="HKLF",
            kind="reflections",
            metadata={"d_min_angstrom": 0.8, "energy_kev": 200.0, "unit_cell": [5.0, 6.0, 7.0, 90.0, 95.0, 90.0]},
            lacks=("composition",),
        )
    )
    assert text.splitlines() == [
        "a.hkl: HKLF",
        "  holds       reflections",
        "  resolution  0.8 A",
        "  energy      200 keV",
        "  unit cell   5, 6, 7, 90, 95, 90 (A, deg)",
        "  lacks",
        '    composition: --composition "C19 H22 N2 O", in any multiple',
    ]


def test_frames_show_their_shape_and_type() -> None:
    text = inspection_text(Inspection(file="a.mrc", format="MRC", kind="frames", shape=(3, 4, 5), dtype="uint16"))
    assert text.splitlines()[1] == "  holds  frames of diffraction patterns, 3 x 4 x 5, uint16"


def test_long_values_are_cut_and_notes_have_a_line_each() -> None:
    metadata = {"columns": [f"column_{number}" for number in range(99)], "notes": ["one", "two"], "blocks": {"a": {}}}
    text = inspection_text(Inspection(file="a", format="MTZ", kind="reflections", metadata=metadata))
    assert max(map(len, text.splitlines())) <= WIDTH
    assert [line.split()[-1] for line in text.splitlines() if "one" in line or "two" in line] == ["one", "two"]


def test_what_is_not_known_comes_with_advice() -> None:
    assert "apertura manifest" in advice(Inspection(file="a", format="folder", kind="unknown"))
    assert "README" in advice(Inspection(file="a", format="unknown", kind="unknown"))
