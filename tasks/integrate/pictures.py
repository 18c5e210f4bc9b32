"""Predicted spots and rocking curves for the report, and each frame's orientation and intensities for exports."""

from pathlib import Path

import h5py
import numpy as np
from scipy.spatial.transform import Rotation

from tasks.integrate.geometry.mapping import orientations
from tasks.integrate.geometry.refinement import Refined
from tasks.integrate.profiles.pixels import Pixels
from tasks.integrate.rocking.model import widths
from tasks.integrate.rocking.scaling import ScaledObservations
from tasks.model import FileRef
from tasks.model.arrays import Floats


def write_pictures(pixels: Pixels, scaled: ScaledObservations, refined: Refined, path: Path) -> FileRef:
    """Write the predictions and the rocking curves for the report.

    Datasets: ``frame`` (k,), ``px`` (k, 2), ``hkl`` (k, 3) of predictions within one width of the sphere;
    group ``rocking`` with ``x`` and ``density`` of the learned curve, and per observation ``hkl`` (n, 3), ``place``
    (n,) in widths, ``intensity`` and ``expected`` (n,), ``scale`` (frames,); ``sigma`` (n,) of counting, and
    ``excitation`` (n,) in 1/angstrom in the orientations that the intensities gave. Group ``geometry``: ``setting``
    (frames, 3, 3) from hkl to the scattering vector in the laboratory in those orientations, ``basis`` (3, 3) the same
    at goniometer zero without any frame's correction, ``beam_px`` (frames, 2); attributes ``axis``, ``ellipse`` and
    ``wavelength_angstrom``. Group ``profile``, where spots are points: ``shape`` and ``edges`` of `Profiles`, attribute
    ``spots``.
    """
    used = pixels.predictions.where(scaled.rows)
    model = scaled.fit.model
    width = widths(model, np.linalg.norm(used.q, axis=1))
    near = np.abs(used.excitation) < width + np.abs(used.travel) / 2
    turns = Rotation.from_rotvec(model.rotation).as_matrix()
    measured = pixels.measured
    geometry = refined.geometry
    outgoing = used.q - np.array([0.0, 0.0, 1.0 / geometry.wavelength])
    outgoing /= np.linalg.norm(outgoing, axis=1, keepdims=True)
    turned = np.einsum("ij,ij->i", -np.cross(used.q, outgoing), model.rotation[used.frame])
    with h5py.File(path, "w") as file:
        file["frame"] = used.frame[near]
        file["px"] = used.px[near]
        file["hkl"] = used.hkl[near]
        rocking = file.create_group("rocking")
        rocking["x"] = model.shape.x
        rocking["density"] = model.shape.density
        rocking["scale"] = model.scale
        rocking["hkl"] = used.hkl
        rocking["frame"] = used.frame
        rocking["place"] = used.excitation / width
        rocking["intensity"] = measured.intensity[scaled.rows]
        rocking["sigma"] = np.sqrt(measured.noise + np.maximum(measured.intensity, 0.0))[scaled.rows]
        rocking["excitation"] = used.excitation + turned
        rocking["expected"] = scaled.fit.expected
        rocking.attrs["width_per_angstrom"] = model.width
        rocking.attrs["spread_deg"] = np.degrees(model.spread)
        rocking.attrs["error_scale"] = model.error_scale
        rocking.attrs["error_excitation"] = model.error_excitation
        if pixels.disc is None:
            profile = file.create_group("profile")
            profile["shape"] = pixels.profiles.shape
            profile["edges"] = pixels.profiles.edges
            profile.attrs["spots"] = pixels.profiles.spots
        setting = file.create_group("geometry")
        setting["setting"] = turns @ orientations(geometry, refined.crystal)
        setting["basis"] = refined.crystal.basis
        setting["beam_px"] = geometry.beam_px
        setting.attrs["axis"] = geometry.axis
        setting.attrs["ellipse"] = geometry.ellipse
        setting.attrs["wavelength_angstrom"] = geometry.wavelength
    return FileRef.of(path)


def in_other_axes(kept: FileRef, basis: Floats, path: Path) -> FileRef:
    """Write pictures or traces with the indices ``hkl @ basis`` and, of pictures, the lattice in those axes."""
    with h5py.File(kept.path, "r") as source, h5py.File(path, "w") as file:
        for name in source:
            source.copy(name, file)
        file.attrs.update(source.attrs)
        for group in (file, *(file[name] for name in ("rocking",) if name in file)):
            group["hkl"][...] = np.rint(np.asarray(group["hkl"]) @ basis).astype(np.int32)
        if "geometry" in file:
            for name in ("basis", "setting"):
                file["geometry"][name][...] = np.asarray(file["geometry"][name]) @ np.linalg.inv(basis.T)
    return FileRef.of(path)
