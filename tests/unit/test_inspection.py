"""The screen of `apertura inspect`: units, what is lacking and how it is given, no line too long."""

from adapters.formats.file_format import Inspection
from flows.inspection import ROWS_SHOWN, WIDTH, advice, inspection_text


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


def lines(**metadata: object) -> list[str]:
    return inspection_text(Inspection(file="a", format="MTZ", kind="reflections", metadata=metadata)).splitlines()


def test_long_values_are_wrapped_and_long_lists_counted() -> None:
    shown = lines(columns=[f"column_{number}" for number in range(99)])
    assert max(map(len, shown)) <= WIDTH
    assert shown[-1].endswith("and 87 more")


def test_sentences_have_lines_of_their_own() -> None:
    shown = lines(notes=["one sentence that is longer than any of the names", "two"])
    assert [line.split()[-1] for line in shown[-2:]] == ["names", "two"]


def test_it_is_one_screen_and_paths_of_hdf5_are_only_counted() -> None:
    paths = {f"/entry/instrument/detector/thing_{number}": number for number in range(200)}
    assert [line.split() for line in lines(**paths, energy_kev=300.0)[2:]] == [
        ["energy", "300", "keV"],
        ["and", "200", "facts", "more:", "--json"],
    ]
    many = lines(**{f"thing_{number}": number for number in range(100)})
    assert len(many) == ROWS_SHOWN + 2
    assert many[-1] == f"  and {101 - ROWS_SHOWN} facts more: --json"


def test_a_file_cannot_send_commands_to_the_terminal() -> None:
    assert "\x1b" not in "".join(lines(block="a\x1b[2Jb"))


def test_what_is_not_known_comes_with_advice() -> None:
    assert "apertura manifest" in advice(Inspection(file="a", format="folder", kind="unknown"))
    assert "README" in advice(Inspection(file="a", format="unknown", kind="unknown"))
