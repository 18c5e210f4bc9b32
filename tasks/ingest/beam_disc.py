"""The disc of a series' direct beam, from the sums of some of its scans."""

from tasks.events.beam_disc import BeamDisc
from tasks.events.disc import disc_of_scans, spread_over, stated_radius_px
from tasks.events.sums import sum_pattern
from tasks.ingest.events import open_events
from tasks.ingest.models import TiltSeries


def disc_of_series(series: TiltSeries) -> tuple[BeamDisc | None, tuple[str, ...]]:
    """Return the disc of a series, None where its spots are points, and what contradicts the manifest."""
    shape = series.detector.shape_px
    middle = ((shape[0] - 1) / 2, (shape[1] - 1) / 2)
    chosen = spread_over(len(series.scans))
    valid = series.valid_pixels()
    return disc_of_scans(
        (sum_pattern(open_events(series.scans[index]), shape) for index in chosen),
        valid=[valid[index] for index in chosen],
        start=series.detector.direct_beam_px or middle,
        reach_px=0.25 * min(shape),
        stated_px=stated_radius_px(series.beam, series.detector),
    )
