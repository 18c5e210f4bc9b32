"""Folders with which a user carries on by hand in XDS, DIALS, PETS2 or SHELX; each runs as it stands."""

import math
import shlex
from pathlib import Path

import numpy as np
import tifffile

from adapters.formats.cbf import write_cbf
from adapters.formats.shelx_writer import symmetry_lines
from adapters.programs.dials.commands import (
    MIN_SWEEP_FRAMES,
    SCAN_VARYING_REFINEMENT,
    STATIC_REFINEMENT,
    bravais_argv,
    find_spots_argv,
    import_argv,
    index_argv,
    integrate_argv,
    refine_argv,
)
from adapters.programs.rectangles import mask_rectangles
from adapters.programs.shelx.input import shelxt_ins
from adapters.programs.static_mask import static_mask
from adapters.programs.xds.input import XdsChoices, image_grid, xds_inp
from tasks.frames import FrameSeries, each_corrected_frame, usable_sweeps
from tasks.integrate import Reflections
from tasks.model import Composition, SettingsError, Vector
from tasks.model.experiment import wavelength_text

TIFF_LARGEST = 65535
"""Of an unsigned integer of 16 bits."""


def export_xds(frames: FrameSeries, folder: Path, *, d_min_angstrom: float = 0.8, d_max_angstrom: float = 20.0) -> None:
    """Write the images and XDS.INP for all steps; `xds` in the folder runs."""
    grid = image_grid(frames)
    images, written = folder / "images", folder / "images" / "all"
    written.mkdir(parents=True)
    paths = write_cbf(frames, written)
    for index, number in zip(grid.indices, grid.numbers, strict=True):
        paths[index].replace(images / f"image_{number:05d}.cbf")
    for path in written.iterdir():
        path.unlink()
    written.rmdir()
    jobs = "XYCORR INIT COLSPOT IDXREF DEFPIX INTEGRATE CORRECT"
    text = xds_inp(
        frames,
        grid,
        XdsChoices(jobs, d_min_angstrom, d_max_angstrom, 0.25),
        template="images/image_?????.cbf",
        untrusted=mask_rectangles(static_mask(frames.masks)),
    )
    (folder / "XDS.INP").write_text(text, encoding="ascii")
    _readme(folder, f"{frames.id}: run `xds` in this folder. If IDXREF indexes badly, turn ROTATION_AXIS round.")


def export_dials(
    frames: FrameSeries, folder: Path, *, axis: Vector | None = None, d_min_angstrom: float | None = None
) -> None:
    """Write the images and process.sh with the commands to the integrated data; `axis` is the one that indexed."""
    parts = usable_sweeps(frames, fewest=MIN_SWEEP_FRAMES)
    kept = [(n, part) for n, part in enumerate(parts, 1) if len(part.indices) >= MIN_SWEEP_FRAMES]
    if not kept:
        raise SettingsError(f"{frames.id}: no {MIN_SWEEP_FRAMES} frames are equally spaced, as DIALS needs them")
    series = frames if axis is None else frames.model_copy(update={"rotation_axis": axis})
    (folder / "frames").mkdir(parents=True)
    write_cbf(series, folder / "frames", parts)
    templates = [f"frames/{frames.id}_{number:02d}_#####.cbf" for number, _ in kept]
    setting = ("bravais_setting_1.expt", "indexed.refl")
    commands = [
        import_argv(series, templates),
        find_spots_argv(change=[], d_max=None, d_min=None, nproc=1),
        index_argv(experiments="imported.expt", name="indexed", change=[], cell=None, space_group=None, nproc=1),
        bravais_argv(1),
        refine_argv(source=setting, name="static", recipe=STATIC_REFINEMENT),
        refine_argv(source=("static.expt", "static.refl"), name="varying", recipe=SCAN_VARYING_REFINEMENT),
        integrate_argv(source=("varying.expt", "varying.refl"), d_min=d_min_angstrom, change=[], nproc=1),
        ["dials.symmetry", "integrated.expt", "integrated.refl"],
        ["dials.scale", "symmetrized.expt", "symmetrized.refl", "anomalous=False"],
        ["dials.export", "scaled.expt", "scaled.refl", "format=shelx"],
    ]
    script = "\n".join(["#!/bin/sh", "set -e", *(shlex.join(command) for command in commands), ""])
    (folder / "process.sh").write_text(script, encoding="ascii")
    _readme(folder, f"{frames.id}: run `sh process.sh` in this folder; it refines in the triclinic setting.")


def export_pets(frames: FrameSeries, folder: Path, *, reflection_size_px: int = 8) -> None:
    """Write 16-bit TIFF images and a .pts file with one line a frame: static geometry, unequal steps as they are.

    Keywords after the PETS2 manual (Palatinus et al., Acta Cryst. B75, 512-522, 2019). The angle of the axis is counted
    counter-clockwise in the image as displayed, which is how other programs that write such files turn their axes into
    those of DIALS; PETS2 could not be run here, so its sign is for the user to check.

    Raises
    ------
    SettingsError
        If a pixel does not fit into 16 bits.
    """
    (folder / "tiff").mkdir(parents=True)
    names = []
    for number, pixels in enumerate(each_corrected_frame(frames.stack), 1):
        if int(pixels.max()) > TIFF_LARGEST:
            raise SettingsError(
                f"{frames.id}, frame {number}: a pixel of {int(pixels.max())} does not fit into 16 bits"
            )
        names.append(f"tiff/frame_{number:05d}.tif")
        tifffile.imwrite(folder / names[-1], pixels.astype(np.uint16))
    x, y, _ = frames.rotation_axis
    size = frames.detector.pixel_size_mm
    per_pixel = size / (frames.detector.camera_length_mm * frames.beam.wavelength_angstrom)
    half_width = float(np.median([frame.width_deg for frame in frames.frames])) / 2
    slow, fast = frames.direct_beam_px
    lines = [
        f"lambda {wavelength_text(frames.beam.wavelength_angstrom)}",
        f"geometry {'static' if frames.is_still else 'continuous'}",
        f"Aperpixel {per_pixel:.9g}",
        f"phi {half_width:.9g}",
        f"omega {math.degrees(math.atan2(y, x)):.6g}",
        "bin 1",
        f"reflectionsize {reflection_size_px}",
        f"noiseparameters {frames.gain:.6g} {frames.pedestal:.6g}",
        f"center {fast:.4f} {slow:.4f}",
        "imagelist",
        *(
            f"{name} {frame.angle_deg + frame.width_deg / 2:.6g} 0.0"
            for name, frame in zip(names, frames.frames, strict=True)
        ),
        "endimagelist",
        "",
    ]
    (folder / f"{frames.id}.pts").write_text("\n".join(lines), encoding="ascii")
    _readme(folder, f"{frames.id}: open {frames.id}.pts in PETS2; check the sense of omega there.")


def export_shelx(data: Reflections, composition: Composition | None, folder: Path) -> None:
    """Write job.ins and job.hkl; `shelxt job` in the folder runs.

    Raises
    ------
    SettingsError
        If there is no composition: SFAC and UNIT need it.
    """
    if composition is None:
        raise SettingsError("SHELX needs the elements present", "give the composition")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "job.hkl").write_bytes(data.hklf4.path.read_bytes())
    (folder / "job.ins").write_text(shelxt_ins(data, composition), encoding="ascii")
    first = ", ".join(candidate.symbol for candidate in data.candidates[:5])
    symmetry = "; ".join(symmetry_lines(data.candidates[0].hall))
    _readme(folder, f"{data.id}: run `shelxt job` in this folder. Space groups by likelihood: {first} ({symmetry}).")


def _readme(folder: Path, line: str) -> None:
    (folder / "README").write_text(line + "\n", encoding="utf-8")
