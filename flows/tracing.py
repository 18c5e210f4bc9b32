"""The way back from a reflection of a finished run to its electrons."""

from pathlib import Path
from typing import NamedTuple

from flows.parts import BY_PARTS, joined_parts
from flows.run_files import named_damage
from flows.run_folder import read_whole_results
from tasks.apertures import ApertureSet
from tasks.frames import DirectBeams, FrameSeries
from tasks.ingest import TiltSeries
from tasks.integrate import Reflections
from tasks.model import Document, SettingsError, SourceError
from tasks.stage import DOCUMENT_NAME, read_document
from tasks.trace import ElectronSource, Trace, draw_trace, trace_reflection

ALONE, BESIDE = "integrate", "neighbours"
"""Folders of a crystal: its intensities in its own lattice, and those in the lattice of others, to be merged."""
NOT_ALONE = (
    "has no intensities of its own: this is what was measured in the lattice of its neighbours, to be merged with them"
)
ALSO_BESIDE = (
    "to be merged with others it was measured once more, in their lattice or to another resolution: "
    "`--merged` shows that"
)
AS_MERGED = "as it was measured to be merged with others"
INDEX_MAX = 9999
"""Chosen, not measured: the last of an axis of 1000 A at 0.1 A."""


class TracedCrystal(NamedTuple):
    """What a run holds of one crystal."""

    reflections: Reflections
    frames: FrameSeries
    electrons: ElectronSource | None

    @property
    def documents(self) -> tuple[Document, ...]:
        """All that name files."""
        electrons = () if self.electrons is None else tuple(self.electrons)
        return (self.reflections, self.frames, *electrons)


def trace(run: Path, crystal: str, hkl: str, *, merged: bool = False, picture: Path | None = None) -> Trace:
    """Return what a reflection of a crystal was measured from; draw it, too, if a file for that is given.

    Of a crystal that was measured in the lattice of its neighbours only, this is what is shown; of one that was so
    measured, too, if it is asked for by `merged`.

    Raises
    ------
    SettingsError
        If `hkl` is not three whole numbers.
    SourceError
        If the run is not finished or has no such crystal.
    InputError
        If the reflection was not measured.
    """
    index = parse_hkl(hkl)
    folder = run / "crystals" / crystal
    alone, beside = (_finished(folder / name) for name in (ALONE, BESIDE))
    taken = BESIDE if beside and merged else measured_in(run, crystal)
    found = crystal_of(run, crystal, measured=taken)
    with named_damage(run, *found.documents):
        traced = trace_reflection(index, found.reflections, found.frames, found.electrons)
    said = [] if not beside else [AS_MERGED if taken == BESIDE else ALSO_BESIDE] if alone else [NOT_ALONE]
    if taken == ALONE and (joined := joined_parts(folder)) is not None and joined.better:
        said.append(BY_PARTS.format(parts=joined.parts))
    if said:
        traced = traced.model_copy(update={"notes": (*traced.notes, *said)})
    if picture is not None:
        shape = None if found.electrons is None else found.electrons.series.scan.shape
        _draw(traced, found.frames, shape, picture)
    return traced


def _draw(traced: Trace, frames: FrameSeries, shape: tuple[int, int] | None, picture: Path) -> None:
    try:
        draw_trace(traced, frames, shape, picture)
    except (OSError, ValueError) as error:
        raise SettingsError(f"--picture {picture}: {error}", "name a new .png, .svg or .pdf") from error


def measured_in(run: Path, crystal: str) -> str:
    """Return where the intensities of a crystal lie: `BESIDE` if it has none `ALONE`."""
    folder = run / "crystals" / crystal
    return BESIDE if _finished(folder / BESIDE) and not _finished(folder / ALONE) else ALONE


def crystal_of(run: Path, crystal: str, *, measured: str | None = None) -> TracedCrystal:
    """Return the documents of one crystal of a finished run, its intensities those that it has `ALONE` or `BESIDE`.

    Without `measured`: its own, or, of a crystal that has none, those beside its neighbours.

    Raises
    ------
    SourceError
        If the run is not finished, or has no such crystal or no such intensities of it.
    """
    results = read_whole_results(run)
    names = [one["id"] for one in results["crystals"]]
    folder = run / "crystals" / crystal
    if crystal not in names or not folder.is_dir():
        merged = " (merged data are traced by their members)" if crystal.startswith("cluster") else ""
        raise SourceError(
            f"{run}: has no crystal {crystal!r}{merged}", f"it has: {', '.join(names) if names else 'none'}"
        )
    measured = measured_in(run, crystal) if measured is None else measured
    for stage in ("frames", measured):
        if not _finished(folder / stage):
            raise SourceError(f"{folder / stage}: {crystal} did not come so far", "the report says where it stopped")
    reflections, frames = (
        read_document(folder / measured, Reflections),
        read_document(folder / "frames", FrameSeries),
    )
    if results["source"]["kind"] != "tilt series":
        return TracedCrystal(reflections, frames, None)
    series, apertures = read_document(run / "ingest", TiltSeries), read_document(run / "apertures", ApertureSet)
    aperture = next(one for one in apertures.crystals if one.id == crystal)
    return TracedCrystal(
        reflections, frames, ElectronSource(series, aperture, read_document(run / "beams", DirectBeams))
    )


def _finished(folder: Path) -> bool:
    return (folder / DOCUMENT_NAME).is_file()


def parse_hkl(text: str) -> tuple[int, int, int]:
    """Read ``h,k,l``."""
    try:
        h, k, l = (int(part) for part in text.split(","))
    except ValueError as error:
        raise SettingsError(f"--hkl {text!r}: not a reflection", "give three whole numbers: --hkl 2,1,-1") from error
    if max(abs(h), abs(k), abs(l)) > INDEX_MAX:
        raise SettingsError(f"--hkl {text!r}: beyond any cell", f"no index is larger than {INDEX_MAX}")
    return h, k, l


def table(traced: Trace) -> str:
    """Return the trace as lines of text: one for each observation."""
    h, k, l = traced.hkl
    merged = "" if traced.intensity is None else f", I = {traced.intensity:.4g}, sigma = {traced.sigma:.3g}"
    lines = [
        f"{traced.crystal}: {h} {k} {l} ({traced.laue_group}), d = {traced.d_angstrom:.3f} A{merged}",
        f"{traced.counts_total} electrons in {len(traced.observations)} observations",
        "    tilt          hkl   counts  background  predicted  positions",
    ]
    for one in traced.observations:
        predicted = "-" if one.predicted is None else f"{one.predicted:.1f}"
        positions = "-" if one.positions is None else str(len(one.positions))
        index = " ".join(f"{number:3d}" for number in one.hkl)
        state = "" if one.state == "used" else f"  {one.state}"
        figures = f"{one.counts:7d}  {one.background:10.1f}  {predicted:>9}  {positions:>9}"
        lines.append(f"{one.tilt_deg:8.2f}  {index}  {figures}{state}")
    return "\n".join([*lines, *(f"note: {note}" for note in traced.notes)])
