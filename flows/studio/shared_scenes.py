"""Pages that look at one series look through one scene: its open tilts are held once, however many people look."""

import threading
from pathlib import Path
from weakref import WeakValueDictionary

from tasks.apertures import ApertureSet
from tasks.drawing import Scene
from tasks.ingest import TiltSeries


class SharedScenes:
    """The scenes that some page holds; one that none holds any more is let go."""

    def __init__(self) -> None:
        self._scenes: WeakValueDictionary[str, Scene] = WeakValueDictionary()
        self._lock = threading.Lock()

    def of(self, series: TiltSeries, apertures: ApertureSet | None = None, angle_maps: tuple[Path, ...] = ()) -> Scene:
        """Return the scene of a series as it is filed, with what a run has; the one that is open already if any is.

        Raises
        ------
        SourceError
            If the apertures are of another series.
        """
        key = series.model_dump_json() + ("" if apertures is None else apertures.model_dump_json())
        key += "".join(str(path) for path in angle_maps)
        with self._lock:
            found = self._scenes.get(key)
            if found is None:
                found = self._scenes[key] = Scene(series, apertures=apertures, angle_maps=angle_maps)
            return found


SCENES = SharedScenes()
"""Those of this process."""
