"""What files state of the geometry against the manifest: differences are named with their size."""

import json

import pytest

from tasks.frames.stated_geometry import angle_contradictions, contradictions
from tasks.ingest import Oscillation, RotationSeriesManifest
from tests.synthetic.cinchonine_manifest import MANIFEST


def manifest(**detector: object) -> RotationSeriesManifest:
    content = {**MANIFEST, "detector": {**MANIFEST["detector"], **detector}}
    return RotationSeriesManifest.model_validate_json(json.dumps(content), strict=True)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("beam.energy_kev", 200.2, None),
        ("beam.energy_kev", 300.0, "200 in the manifest, the files say 300 (+50.0%)"),
        ("detector.camera_length_mm", 436.5, None),
        ("detector.camera_length_mm", 443.0, "436.1 in the manifest, the files say 443 (+1.6%)"),
        ("detector.pixel_size_mm", 0.11, "0.055 in the manifest, the files say 0.11 (+100.0%)"),
        ("detector.pedestal", 8.0, "0 in the manifest, the files say 8"),
        ("detector.direct_beam_px[0]", 255.5, None),
        ("detector.direct_beam_px[1]", 206.4, "256.4 in the manifest, the files say 206.4 (-50.0 px)"),
        ("oscillation.width_deg", -0.2522, None),
        ("oscillation.width_deg", 0.25, "0.2522 in the manifest, the files say 0.25 (-0.9%)"),
    ],
)
def test_differences_are_named_with_their_size(field: str, value: float, said: str | None) -> None:
    expected = () if said is None else (f"{field} is {said}: which is right?",)
    assert contradictions({field: [value]}, manifest()) == expected


def test_what_the_manifest_leaves_open_is_no_difference_but_a_saturation_is_worth_stating() -> None:
    open_manifest = manifest(direct_beam_px=None, saturation=None)
    assert contradictions({"detector.direct_beam_px[0]": [3.0]}, open_manifest) == ()
    assert contradictions({"detector.saturation": [4095.0]}, open_manifest) == (
        "detector.saturation is null in the manifest, the files say 4095: state it",
    )


OSCILLATION = Oscillation(start_deg=-50.0, width_deg=0.5)


def angles(start: float, width: float) -> dict[int, float]:
    return {number: start + width * (number - 3) for number in range(3, 40)}


@pytest.mark.parametrize(("start", "width"), [(-50.0, 0.5), (-49.75, 0.5), (-49.5, 0.5), (50.0, -0.5), (-50.0, 0.502)])
def test_angles_that_agree_by_begin_middle_end_or_sense_say_nothing(start: float, width: float) -> None:
    assert angle_contradictions(angles(start, width), 3, OSCILLATION) == ()


def test_another_width_and_another_start_are_named() -> None:
    assert angle_contradictions(angles(-50.0, 0.6), 3, OSCILLATION) == (
        (
            "oscillation.width_deg is 0.5 in the manifest, the files' angles turn by 0.6 deg for each frame (+20.0%): "
            "which is right?"
        ),
    )
    assert angle_contradictions(angles(-40.0, 0.5), 3, OSCILLATION) == (
        "oscillation.start_deg is -50 in the manifest, the files' angles are +10.00 deg away from it: which is right?",
    )


def test_one_angle_for_all_frames_is_no_statement() -> None:
    assert angle_contradictions(dict.fromkeys(range(10), 7.0), 0, OSCILLATION) == ()
    assert angle_contradictions({0: 7.0}, 0, OSCILLATION) == ()
