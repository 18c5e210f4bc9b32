"""From a reflection back to the electrons that made it."""

from typing import TYPE_CHECKING

from tasks.face import open_face

if TYPE_CHECKING:
    from tasks.trace.electrons import ElectronSource, FrameElectrons, bragg_by_position, kept_traces
    from tasks.trace.glimpse import Crossing, Glimpse, PositionMap, glimpses, position_maps
    from tasks.trace.models import Trace, TracedObservation, TracedPixel, TracedPosition
    from tasks.trace.picture import draw_trace
    from tasks.trace.reflection import trace_reflection
else:
    __getattr__ = open_face(__name__)

__all__ = [
    "Crossing",
    "ElectronSource",
    "FrameElectrons",
    "Glimpse",
    "PositionMap",
    "Trace",
    "TracedObservation",
    "TracedPixel",
    "TracedPosition",
    "bragg_by_position",
    "draw_trace",
    "glimpses",
    "kept_traces",
    "position_maps",
    "trace_reflection",
]
