"""What a crystal is like from one probe position to the next, from its own reflections."""

from typing import TYPE_CHECKING

from tasks.face import open_face

if TYPE_CHECKING:
    from tasks.maps.models import CrystalMaps
    from tasks.maps.task import map_crystal
else:
    __getattr__ = open_face(__name__)

__all__ = ["CrystalMaps", "map_crystal"]
