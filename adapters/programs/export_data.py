"""Folders of intensities for other programs: cif_pets for dynamical refinement."""

from pathlib import Path

import h5py
import numpy as np

from adapters.formats.cif_pets_writer import write_cif_pets
from tasks.frames import FrameSeries
from tasks.integrate import FrameIntensities, Reflections, virtual_frames
from tasks.model import SourceError


def export_cif_pets(data: Reflections, frames: FrameSeries, folder: Path) -> None:
    """Write the intensities of every frame, of a rotation of virtual frames, with orientations: ``<id>.cif_pets``.

    Raises
    ------
    SourceError
        If the engine kept no intensities of single frames.
    """
    measured = virtual_frames(frame_intensities(data, frames), frames)
    folder.mkdir(parents=True)
    write_cif_pets(measured, data.unit_cell, data.wavelength_angstrom, folder / f"{data.id}.cif_pets")
    lines = [f"{data.id}: import {data.id}.cif_pets into Jana2020 or Olex2 (dynamical refinement)."]
    if measured.merged[0] > 1:
        lines.append(
            f"{len(measured.setting)} virtual frames, each the sum of {measured.merged[0]} frames, "
            f"{measured.width_deg[0]:.3g} degrees, in steps of {measured.merged[1]}."
        )
    if frames.is_still:
        lines.append(
            "The frames are stills: their half-range is 0, and each intensity is that at the frame's own orientation, "
            "not integrated over a rotation. A refinement must not average over a range of angles."
        )
    (folder / "README").write_text("\n".join([*lines, ""]), encoding="utf-8")


def frame_intensities(data: Reflections, frames: FrameSeries) -> FrameIntensities:
    """Return what the built-in integrator measured on each frame.

    Raises
    ------
    SourceError
        If another engine integrated, or an earlier version: they kept no intensities of single frames.
    """
    if data.pictures is None or not data.pictures.path.is_file():
        raise SourceError(f"{data.id}: the run kept no intensities of single frames", REMEDY)
    with h5py.File(data.pictures.path, "r") as file:
        if "geometry" not in file or "rocking" not in file:
            raise SourceError(
                f"{data.id}: no intensities of single frames: {data.provenance.engine} {data.provenance.version} "
                "integrated it",
                REMEDY,
            )
        rocking, geometry = file["rocking"], file["geometry"]
        return FrameIntensities(
            setting=np.asarray(geometry["setting"], dtype=np.float64),
            basis=np.asarray(geometry["basis"], dtype=np.float64),
            angle_deg=np.array([frame.angle_deg + frame.width_deg / 2 for frame in frames.frames]),
            width_deg=np.array([frame.width_deg for frame in frames.frames]),
            axis=np.asarray(geometry.attrs["axis"], dtype=np.float64),
            hkl=np.asarray(rocking["hkl"], dtype=np.int32),
            intensity=np.asarray(rocking["intensity"], dtype=np.float64),
            sigma=np.asarray(rocking["sigma"], dtype=np.float64),
            frame=np.asarray(rocking["frame"], dtype=np.int64),
            curve=(float(rocking.attrs["width_per_angstrom"]), float(rocking.attrs["spread_deg"])),
        )


REMEDY = "run it again with this version and `--set integrate.engine=builtin`"
"""What helps where a run kept no intensities of single frames."""
