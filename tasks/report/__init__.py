"""What a run came to: tables, pictures, results.json and the page to read."""

from typing import TYPE_CHECKING

from tasks.face import open_face

if TYPE_CHECKING:
    from tasks.report.images import TiltPicture, colour_of, tilt_pictures
    from tasks.report.live_models import LiveCrystal, LivePhase, LivePoint, LiveScan, LiveState, best_of
    from tasks.report.live_page import newest_picture, write_live_page
    from tasks.report.live_wording import (
        LIVE_HEADER,
        best_tilt_words,
        crystal_cells,
        dose_words,
        lattice_words,
        live_headline,
        verdict_words,
    )
    from tasks.report.models import (
        ApertureGain,
        ApertureQuality,
        CrystalOutcome,
        Failure,
        NestedRegion,
        NestedStudy,
        PhaseTrial,
        RunOutcome,
        SourceSummary,
    )
    from tasks.report.nested_rows import sufficient
    from tasks.report.reasons import reason_of
    from tasks.report.script import script_hash
    from tasks.report.task import ReportFiles, put_text, write_report
    from tasks.report.worst_list import MeasuredCrystal, worst_fitting
    from tasks.report.worst_models import CrossingEntry, CrossingMap, WorstFitting, WorstReflection
else:
    __getattr__ = open_face(__name__)

__all__ = [
    "LIVE_HEADER",
    "ApertureGain",
    "ApertureQuality",
    "CrossingEntry",
    "CrossingMap",
    "CrystalOutcome",
    "Failure",
    "LiveCrystal",
    "LivePhase",
    "LivePoint",
    "LiveScan",
    "LiveState",
    "MeasuredCrystal",
    "NestedRegion",
    "NestedStudy",
    "PhaseTrial",
    "ReportFiles",
    "RunOutcome",
    "SourceSummary",
    "TiltPicture",
    "WorstFitting",
    "WorstReflection",
    "best_of",
    "best_tilt_words",
    "colour_of",
    "crystal_cells",
    "dose_words",
    "lattice_words",
    "live_headline",
    "newest_picture",
    "put_text",
    "reason_of",
    "script_hash",
    "sufficient",
    "tilt_pictures",
    "verdict_words",
    "worst_fitting",
    "write_live_page",
    "write_report",
]
