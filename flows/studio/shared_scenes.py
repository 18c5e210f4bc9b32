"""Pages that look at one series look through one scene: its open tilts are held once, however many people look."""

import threading
from weakref import WeakValueDictionary

from tasks.apertures import ApertureSet
from tasks.drawing import Scene
from tasks.ingest import TiltSeries


class SharedScenes:
    """The scenes that some page holds; one that none holds any more is let go."""

    def __init__(self) -> None:
        self._scenes: WeakValueDictionary[str, Scene] = WeakValueDictionary()
        self._lock = threading.Lock()

    def of(self, series: TiltSeries, apertures: ApertureSet | None = None) -> Scene:
        """Return the scene of a series as it is filed, with a run's apertures; the one that is open already if any is.

        Raises
        ------
        SourceError
            If the apertures are of another series.
        """
        key = series.model_dump_json() + ("" if apertures is None else apertures.model_dump_json())
        with self._lock:
            found = self._scenes.get(key)
            if found is None:
                found = self._scenes[key] = Scene(series, apertures=apertures)
            return found


SCENES = SharedScenes()
"""Those of this process."""
