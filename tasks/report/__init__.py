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
        PhaseTrial,
        RunOutcome,
        SourceSummary,
    )
    from tasks.report.script import script_hash
    from tasks.report.task import ReportFiles, write_report
else:
    __getattr__ = open_face(__name__)

__all__ = [
    "ApertureGain",
    "ApertureQuality",
    "CrystalOutcome",
    "Failure",
    "PhaseTrial",
    "ReportFiles",
    "RunOutcome",
    "SourceSummary",
    "colour_of",
    "script_hash",
    "tilt_pictures",
    "write_report",
]
