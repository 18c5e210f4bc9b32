"""Folders of frames for other programs: NXmx for DIALS, stacks with their tilts for imaging programs."""

from pathlib import Path

import numpy as np
import tifffile

from adapters.formats.frame_stacks_writer import write_mrc_stack, write_tiff_stack
from adapters.formats.nxmx_writer import write_nxmx
from adapters.programs.dials.commands import MIN_SWEEP_FRAMES
from adapters.programs.static_mask import static_mask
from tasks.frames import FrameSeries, usable_sweeps
from tasks.model import SettingsError, Vector


def export_nxmx(frames: FrameSeries, folder: Path, *, axis: Vector | None = None) -> None:
    """Write one NXmx file for each sweep; `axis` is the one that indexed.

    Raises
    ------
    SettingsError
        If no sweep is long enough for programs that know rotation data only.
    """
    series = frames if axis is None else frames.model_copy(update={"rotation_axis": axis})
    parts = usable_sweeps(series, fewest=MIN_SWEEP_FRAMES)
    if not any(len(part.indices) >= MIN_SWEEP_FRAMES for part in parts):
        raise SettingsError(
            f"{frames.id}: no {MIN_SWEEP_FRAMES} frames are equally spaced, as NXmx for rotation data needs them",
            "--to stacks writes frames at any tilts",
        )
    folder.mkdir(parents=True)
    paths = write_nxmx(series, parts, folder, mask=static_mask(series.masks))
    kept = [path.name for path, part in zip(paths, parts, strict=True) if len(part.indices) >= MIN_SWEEP_FRAMES]
    gain = f" panel.gain={series.gain:.9g}" if series.gain != 1 else ""
    lines = [f"{frames.id}: run `dials.import {' '.join(kept)}{gain}` in this folder, then dials.find_spots and so on."]
    if not all(part.exact for part in parts):
        lines.append(
            "Stills and unequal steps are presented as equal wedges; the true angles are in /entry/frames of each file."
        )
    if len(kept) < len(paths):
        lines.append(f"{len(paths) - len(kept)} files hold frames out of step with the others: too few to be imported.")
    if len(kept) > 1:
        lines.append("There are several sweeps: tell dials.index indexing.joint_indexing=True.")
    (folder / "README").write_text("\n".join([*lines, ""]), encoding="utf-8")


def export_stacks(frames: FrameSeries, folder: Path, *, axis: Vector | None = None) -> None:
    """Write the frames as an MRC and a TIFF stack, each with its .mdoc, and the pixels not to be used as a mask."""
    series = frames if axis is None else frames.model_copy(update={"rotation_axis": axis})
    folder.mkdir(parents=True)
    write_mrc_stack(series, folder / f"{series.id}.mrc")
    write_tiff_stack(series, folder / f"{series.id}.tif")
    tifffile.imwrite(folder / "mask.tif", (~static_mask(series.masks)).astype(np.uint8), metadata=None, software=False)
    lines = [
        f"{series.id}.mrc, {series.id}.tif: the same {len(series.frames)} frames, rows from the top.",
        "The .mdoc beside each gives tilts, axis, camera length and direct beam. mask.tif: 1 = not to be used.",
    ]
    (folder / "README").write_text("\n".join([*lines, ""]), encoding="utf-8")
