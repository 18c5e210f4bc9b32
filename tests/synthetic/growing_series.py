"""A series that grows: scans of a complete one that are put into a folder one after the other, with its manifest."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class GrowingFolder:
    """Feeds a folder from that of a complete series."""

    def __init__(self, whole: Path, folder: Path, *, planned: bool = True) -> None:
        """`planned`: whether the manifest lists the scans to come, too."""
        self.folder = folder
        self.whole = whole
        self._planned = planned
        self._there: list[str] = []
        self.manifest: dict[str, Any] = json.loads((whole / "tilt_series.json").read_text())
        self.names = [scan["file"] for scan in self.manifest["scans"]]
        folder.mkdir(parents=True)

    def add(self, names: Sequence[str]) -> None:
        """Put scans there, each by a rename, and write the manifest."""
        for name in names:
            partial = self.folder / f".{name}.part"
            shutil.copyfile(self.whole / name, partial)
            partial.replace(self.folder / name)
            self._there.append(name)
        self.tell()

    def tell(self, *, complete: bool = False, **changes: Any) -> None:
        """Write the manifest by an atomic replacement."""
        scans = [one for one in self.manifest["scans"] if self._planned or one["file"] in self._there]
        content = {**self.manifest, "scans": scans, "complete": complete, **changes}
        partial = self.folder / ".tilt_series.json.part"
        partial.write_text(json.dumps(content))
        partial.replace(self.folder / "tilt_series.json")

    def finish(self) -> None:
        """Say that it is complete: the manifest is that of the whole series, byte for byte."""
        partial = self.folder / ".tilt_series.json.part"
        shutil.copyfile(self.whole / "tilt_series.json", partial)
        partial.replace(self.folder / "tilt_series.json")
