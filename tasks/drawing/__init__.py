"""A series opened for looking and drawing: exact sums while a hand draws, images, shapes, crystals, undo."""

from typing import TYPE_CHECKING

from tasks.face import open_face

if TYPE_CHECKING:
    from tasks.drawing.carrying import Carried, carry
    from tasks.drawing.crystals import Drawing, DrawingCrystal
    from tasks.drawing.display import (
        Edges,
        Stretch,
        binned,
        contrasted,
        edges_of,
        resolution_at,
        resolution_radius_px,
        resolution_rings,
        stretched,
    )
    from tasks.drawing.drift import Drift, drift_of_images, find_drift
    from tasks.drawing.frame_display import largest_of, screen_factor, shaded
    from tasks.drawing.growth import grow, likeness_of, region_like
    from tasks.drawing.history import History
    from tasks.drawing.likeness import Likeness
    from tasks.drawing.outline_fill import OutlineFill
    from tasks.drawing.rotation_scene import (
        FrameImage,
        OverAllFrames,
        PredictedSpots,
        ReadFrame,
        RotationFrame,
        RotationScene,
    )
    from tasks.drawing.scene import Scene
    from tasks.drawing.shapes import (
        connected_part,
        ellipse_mask,
        polygon_mask,
        rectangle_mask,
        sides_of_line,
        stroke_mask,
    )
    from tasks.drawing.thumbnails import thumbnail
    from tasks.drawing.virtual_detector import VirtualDetector
else:
    __getattr__ = open_face(__name__)

__all__ = [
    "Carried",
    "Drawing",
    "DrawingCrystal",
    "Drift",
    "Edges",
    "FrameImage",
    "History",
    "Likeness",
    "OutlineFill",
    "OverAllFrames",
    "PredictedSpots",
    "ReadFrame",
    "RotationFrame",
    "RotationScene",
    "Scene",
    "Stretch",
    "VirtualDetector",
    "binned",
    "carry",
    "connected_part",
    "contrasted",
    "drift_of_images",
    "edges_of",
    "ellipse_mask",
    "find_drift",
    "grow",
    "largest_of",
    "likeness_of",
    "polygon_mask",
    "rectangle_mask",
    "region_like",
    "resolution_at",
    "resolution_radius_px",
    "resolution_rings",
    "screen_factor",
    "shaded",
    "sides_of_line",
    "stretched",
    "stroke_mask",
    "thumbnail",
]
