"""Hundreds of damaged logs and input files: a typed error or a draft of finite numbers; never a traceback."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from adapters.formats.drafts.draft import draft_manifest
from adapters.formats.drafts.fields import filled
from adapters.formats.drafts.folder import find_series, find_sources
from adapters.formats.drafts.formats import MANIFEST_FORMATS
from adapters.formats.drafts.sources import SOURCES
from adapters.formats.file_format import BEGIN_BYTES, Inspection
from tasks.ingest import RotationSeriesManifest
from tasks.model import ApertureError
from tests.synthetic.draft_sources import AUTOLEI, INSTAMATIC, MDOC, PETS, XDS_INP
from tests.synthetic.hostile_files import mutated

MUTATIONS = 200
NUMBERS = [
    *(b"1e308", b"-1e308", b"1e-308", b"0", b"nan", b"inf", b"9" * 400, b"1e999999999", b"-", b"0x1F", b"1,5"),
    b"\xc2\xb2",
]
EXPT = {
    "__id__": "ExperimentList",
    "experiment": [{"__id__": "Experiment", "beam": 0, "detector": 0, "goniometer": 0, "scan": 0, "imageset": 0}],
    "imageset": [{"__id__": "ImageSequence", "template": "a_####.tif"}],
    "beam": [{"direction": [0.0, 0.0, 1.0], "wavelength": 0.0251}],
    "detector": [
        {
            "panels": [
                {
                    "fast_axis": [1.0, 0.0, 0.0], "slow_axis": [0.0, -1.0, 0.0], "origin": [-13.6, 13.3, -531.85],
                    "image_size": [512, 512], "pixel_size": [0.055, 0.055], "trusted_range": [-1.0, 65535.0],
                    "gain": 2.0, "pedestal": 0.0,
                }
            ],
            "hierarchy": {
                "fast_axis": [1.0, 0.0, 0.0], "slow_axis": [0.0, 1.0, 0.0], "origin": [0.0, 0.0, 0.0],
                "children": [{"panel": 0}],
            },
        }
    ],
    "goniometer": [{"axes": [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], "angles": [0.0, 30.0], "scan_axis": 0}],
    "scan": [{"image_range": [1, 4], "oscillation": [65.4, 0.23]}],
}  # fmt: skip
MANIFEST = {"format": "rotation series", "version": 1, "beam": {"energy_kev": 200.0}, "oscillation": {"start_deg": 1.0}}
GOOD = {
    "cRED_log.txt": INSTAMATIC,
    "XDS.INP": XDS_INP,
    "Input_parameters.txt": AUTOLEI,
    "a.pts2": PETS.replace("tiff/000", "a_").replace(".tiff", ".tif"),
    "a.mdoc": MDOC,
    "a.expt": json.dumps(EXPT),
    "tilts.csv": "file,tilt_deg\na_1.tif,-60\na_2.tif,-59.5\n",
    "rotation_series.json": json.dumps(MANIFEST),
}


def with_wrong_number(content: bytes, rng: np.random.Generator) -> bytes:
    """Return damaged text in which one number, as often as not, is one that no instrument writes."""
    damaged = mutated(content, rng)
    found = list(re.finditer(rb"[-+\d.]+", damaged))
    if not found or rng.random() < 0.5:
        return damaged
    place = found[int(rng.integers(0, len(found)))]
    return damaged[: place.start()] + NUMBERS[int(rng.integers(0, len(NUMBERS)))] + damaged[place.end() :]


def inspect(path: Path) -> Inspection:
    return Inspection(file=path.name, format="TIFF", kind="frames", shape=(1, 512, 512))


@pytest.mark.parametrize("name", sorted(GOOD))
def test_two_hundred_mutated_files(tmp_path: Path, name: str) -> None:
    rng = np.random.default_rng(7)
    for number in (1, 2, 3, 4):
        (tmp_path / f"a_{number}.tif").write_bytes(b"x")
    (series,) = find_series(tmp_path, inspect)
    path, taken = tmp_path / name, 0
    for _ in range(MUTATIONS):
        path.write_bytes(with_wrong_number(GOOD[name].encode(), rng))
        stated, _ = find_sources(tmp_path)
        draft = draft_manifest(tmp_path, series, stated)
        RotationSeriesManifest.model_validate_json(json.dumps(filled(draft.manifest), allow_nan=False), strict=True)
        begin = path.read_bytes()[:BEGIN_BYTES]
        known = next((one for one in MANIFEST_FORMATS if one.recognises(path, begin)), None)
        if known is not None:
            try:
                json.dumps(known.describe(path).model_dump(mode="json"), allow_nan=False)
                taken += 1
            except ApertureError:
                continue
    assert taken, "not one of them was read"
    assert {one.name for one in tmp_path.iterdir()} == {name, *(f"a_{number}.tif" for number in (1, 2, 3, 4))}


def places(value: object, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    """Return the places of all values in nested lists and mappings."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, item in items for found in ((*path, key), *places(item, (*path, key)))]


def test_a_wrong_value_in_every_place_of_an_experiment_list(tmp_path: Path) -> None:
    """Types that no dxtbx writes, at every key of the JSON."""
    values = [None, True, -1, 0, 1e308, "", "x" * 500, [], [[]], {}, {"a": 1}, [1e308, 1e308, 1e308], ["a", "b", "c"]]
    read = next(source.read for source in SOURCES if source.name == "DIALS experiments")
    path = tmp_path / "a.expt"
    for place in places(EXPT):
        for value in values:
            changed = json.loads(json.dumps(EXPT))
            at = changed
            for key in place[:-1]:
                at = at[key]
            at[place[-1]] = value
            path.write_text(json.dumps(changed))
            try:
                stated = read(path)
            except ApertureError:
                continue
            assert all(np.isfinite(np.ravel(one.value)).all() for file in stated for one in file.statements)
