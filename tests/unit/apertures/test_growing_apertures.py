"""Proposals of a series that grows are those of the whole, and a scan is looked at once."""

import numpy as np

from adapters.formats.mask_reader import MaskFileReader
from adapters.formats.scans.scan_reader import ScanFileReader
from tasks.apertures import segmented
from tasks.apertures.automatic import AutomaticApertures
from tasks.apertures.segmented import segment_series
from tasks.ingest import IngestSettings, ingest_tilt_series, read_source
from tests.synthetic.small_scans import small_series


def test_a_scan_is_segmented_again_only_where_what_it_depends_on_is_another(tmp_path, monkeypatch):
    source = read_source(small_series(tmp_path / "source", tilts=5))
    series = ingest_tilt_series(
        source, ScanFileReader(), IngestSettings(), workdir=tmp_path / "ingest", masks=MaskFileReader()
    )
    looked, known = [], {}
    real = segmented.segment_scan
    monkeypatch.setattr(segmented, "segment_scan", lambda *a, **k: looked.append(1) or real(*a, **k))
    early = series.model_copy(update={"scans": series.scans[:3], "validity": None})
    first = segment_series(early, AutomaticApertures(), known)
    assert len(looked) == 3
    all_of_them = segment_series(series.model_copy(update={"validity": None}), AutomaticApertures(), known)
    assert len(looked) == 5
    assert all(one is other for one, other in zip(first, all_of_them[:3], strict=True))
    afresh = segment_series(series.model_copy(update={"validity": None}), AutomaticApertures())
    for one, other in zip(all_of_them, afresh, strict=True):
        np.testing.assert_array_equal(one.map_of("counts"), other.map_of("counts"))
        np.testing.assert_array_equal(one.weights, other.weights)
    masked = series.valid_pixels()
    masked[0] = masked[0].copy()
    masked[0][0, 0] = False
    monkeypatch.setattr(type(series), "valid_pixels", lambda _: masked)
    before = len(looked)
    segment_series(series, AutomaticApertures(), known)
    assert len(looked) > before
