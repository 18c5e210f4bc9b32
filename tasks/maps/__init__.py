"""What a crystal is like from one probe position to the next, from its own reflections."""

from typing import TYPE_CHECKING

from tasks.face import open_face

if TYPE_CHECKING:
    from tasks.maps.models import CrystalMaps
    from tasks.maps.parts import OrientationPart, number_of_parts, parts_by_orientation
    from tasks.maps.task import map_crystal
else:
    __getattr__ = open_face(__name__)

__all__ = ["CrystalMaps", "OrientationPart", "map_crystal", "number_of_parts", "parts_by_orientation"]
