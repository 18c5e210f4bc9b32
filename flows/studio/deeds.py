"""What the studio does beside drawing: save, keep what is unsaved, judge, solve. One object for each session."""

import threading
from collections.abc import Sequence
from pathlib import Path

from flows.studio.judge import ApertureJudgement, JudgeRequest, judge
from flows.studio.opening import Place
from flows.studio.recovery import UnsavedKeeper, UnsavedWork
from flows.studio.saving import Saved, copy_name, file_key, read_drawing, read_saved, save_drawing
from flows.studio.solving import SolveRequest, checked_source, new_run, settings_with, solve
from flows.studio.work_process import Tell, in_own_process
from tasks.drawing import Drawing
from tasks.ingest import TiltSeries
from tasks.model import InputError


class Deeds:
    """Saves, judges and solves what one session draws on a place.

    `judge` and `solve` block until they are done, and do their work in another process: they are called from a thread
    beside the window, and end when the event that they are given is set.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self._parent = place.saved_key
        self._recovery = UnsavedKeeper(place.work)
        self._guard = threading.Lock()

    @property
    def last_saved(self) -> Saved | None:
        """Who saved the aperture file last, and when; None if there is none."""
        return read_saved(self.place.aperture_file)

    @property
    def saved_by_another(self) -> bool:
        """Whether the aperture file is not the one that this session has read or saved."""
        return file_key(self.place.aperture_file) != self._parent

    def save(self, drawing: Drawing, changes: Sequence[str], *, who: str) -> Saved:
        """Write the aperture file.

        Raises
        ------
        SavedByAnotherError
            If another session saved it since it was read here: `save_copy` saves beside it.
        InputError
            If nothing is drawn, or the disk is full or cannot be written: what was saved before is whole.
        """
        with self._guard:
            saved = save_drawing(
                drawing, self._series, self.place.aperture_file, who=who, changes=changes, expected=self._parent
            )
            self._parent = saved.sha256
        self._recovery.saved()
        return saved

    def save_copy(self, drawing: Drawing, changes: Sequence[str], *, who: str) -> Saved:
        """Write a file beside the aperture file, under a name that says whose it is."""
        with self._guard:
            path = copy_name(self.place.aperture_file, who)
            saved = save_drawing(drawing, self._series, path, who=who, changes=changes, expected=None)
        self._recovery.saved()
        return saved

    def keep_unsaved(self, drawing: Drawing, changes: Sequence[str] = ()) -> None:
        """Keep a drawing in case the browser or the machine goes; cheap, to be called at each change."""
        self._recovery.keep(drawing, tuple(changes), parent=self._parent)

    @property
    def keeping_failed(self) -> InputError | None:
        """Why unsaved work could not be kept the last time; None if it could."""
        return self._recovery.failure

    def unsaved(self) -> Drawing | None:
        """Return what the last session that ended has left unsaved; None if nothing."""
        found = self.unsaved_work()
        return None if found is None else found.drawing

    def unsaved_work(self) -> UnsavedWork | None:
        """Return the same with when it was, what was changed, and on which file it was drawn."""
        found = self._recovery.unsaved()
        if found is None or not self._fits(found.drawing):
            return None
        return found

    def discard_unsaved(self) -> None:
        """Forget what `unsaved` returned: it was taken up into this session, or is not wanted."""
        self._recovery.discard_offered()

    def close(self) -> None:
        """End the session: what is unsaved is kept for the next."""
        self._recovery.close()

    def judge(
        self, drawing: Drawing, crystal: str, tell: Tell, *, stop: threading.Event | None = None
    ) -> ApertureJudgement:
        """Integrate a crystal as it is drawn, beside the run's own choice and all positions of the crystal.

        Raises
        ------
        StoppedError
            If `stop` was set.
        InputError
            If the crystal holds no position.
        """
        masks = drawing.crystal(crystal).masks
        if not masks.any():
            raise InputError(f"{crystal} holds no position at any tilt", "draw it first")
        request = JudgeRequest(
            self._series, self.place.run, crystal, masks, self.place.settings.frames, self.place.work
        )
        return in_own_process(judge, request, tell=tell, stop=stop or threading.Event())

    def solve(
        self,
        drawing: Drawing,
        tell: Tell,
        *,
        who: str,
        changes: Sequence[str] = (),
        stop: threading.Event | None = None,
    ) -> Path:
        """Save what is not saved, and run the pipeline with the saved aperture in a new folder; return that folder.

        On a run, the steps that do not depend on what was changed are taken from it.

        Raises
        ------
        SourceError
            If the source is gone.
        StoppedError
            If `stop` was set: the steps that were done stay in the folder.
        """
        named = str(self.place.path if self.place.contents is None else self.place.contents.claim.get("source"))
        source = checked_source(self.place.source, named=named)
        path = self.place.aperture_file if self._is_saved(drawing) else self.save(drawing, changes, who=who).path
        out = new_run(self.place.work)
        aperture_file = out.with_suffix(".h5")
        aperture_file.write_bytes(path.read_bytes())
        settings = settings_with(self.place.settings, aperture_file, self.place.run)
        request = SolveRequest(source, out, settings, self.place.run or self.place.work)
        return in_own_process(solve, request, tell=tell, stop=stop or threading.Event())

    @property
    def _series(self) -> TiltSeries:
        if self.place.series is None:
            raise InputError(f"{self.place.title}: no scans to draw apertures on", "open a tilt series")
        return self.place.series

    def _is_saved(self, drawing: Drawing) -> bool:
        """Tell whether the aperture file is this session's and holds this drawing already."""
        path = self.place.aperture_file
        if self._parent is None or file_key(path) != self._parent:
            return False
        held = {one.id: (one.name, one.planes) for one in read_drawing(path, self._series).crystals}
        kept = drawing.masks().keys()
        return held == {one.id: (one.name, one.planes) for one in drawing.crystals if one.id in kept}

    def _fits(self, drawing: Drawing) -> bool:
        series = self.place.series
        return series is not None and all(
            one.scan_shape == series.scan.shape and len(one.planes) == len(series.scans) for one in drawing.crystals
        )
