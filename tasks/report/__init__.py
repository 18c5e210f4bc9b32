"""What a run came to: tables, pictures, results.json and the page to read."""

from typing import TYPE_CHECKING

from tasks.face import open_face

if TYPE_CHECKING:
    from tasks.report.images import colour_of, tilt_pictures
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
    from tasks.report.task import ReportFiles, write_report
    from tasks.report.worst_list import MeasuredCrystal, worst_fitting
    from tasks.report.worst_models import CrossingEntry, CrossingMap, WorstFitting, WorstReflection
else:
    __getattr__ = open_face(__name__)

__all__ = [
    "ApertureGain",
    "ApertureQuality",
    "CrossingEntry",
    "CrossingMap",
    "CrystalOutcome",
    "Failure",
    "MeasuredCrystal",
    "NestedRegion",
    "NestedStudy",
    "PhaseTrial",
    "ReportFiles",
    "RunOutcome",
    "SourceSummary",
    "WorstFitting",
    "WorstReflection",
    "colour_of",
    "reason_of",
    "script_hash",
    "sufficient",
    "tilt_pictures",
    "worst_fitting",
    "write_report",
]
