"""A deposit: everything that a journal or a database asks of a structure, in one zip that is the same every time."""

import hashlib
import json
import zipfile
from pathlib import Path
from typing import NamedTuple

from adapters.formats.deposit_cif import cif_with_data, frames_cif
from tasks.frames import FrameSeries
from tasks.model import SourceError
from tasks.refine import Refinement

ZIP_TIME = (1980, 1, 1, 0, 0, 0)
"""Of every file in the zip, the earliest that the format knows: equal contents give equal bytes."""
ZIP_MODE = 0o644 << 16
"""Unix permissions in the zip: to be read by all."""


class Deposited(NamedTuple):
    """What is deposited: the refined structure, and what else there is of the run."""

    structure: Refinement
    frames: FrameSeries | None
    unmerged: Path | None
    """Intensities before merging, HKLF 4."""
    report: Path
    results: Path


def export_deposit(what: Deposited, folder: Path) -> None:
    """Write ``<id>.zip`` and the page that describes it.

    Raises
    ------
    SourceError
        If a file of the refinement is gone or damaged.
    """
    name = what.structure.id
    contents = _contents(what, name)
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {file}\n" for file, (data, _) in contents.items())
    contents["SHA256SUMS"] = (sums.encode(), "checksums of the files above: sha256sum -c SHA256SUMS")
    page = _page(what, contents)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text(page, encoding="utf-8")
    with zipfile.ZipFile(folder / f"{name}.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for file, data in [("README.md", page.encode()), *((file, data) for file, (data, _) in contents.items())]:
            entry = zipfile.ZipInfo(file, date_time=ZIP_TIME)
            entry.external_attr = ZIP_MODE
            entry.create_system = 3  # Unix on every system, for equal bytes
            archive.writestr(entry, data, compress_type=zipfile.ZIP_DEFLATED, compresslevel=6)


def _contents(what: Deposited, name: str) -> dict[str, tuple[bytes, str]]:
    """Return the files of the zip by their names, each with what it is in a line."""
    model = what.structure
    cif, fcf, hkl, res, ins = (_read(one.path) for one in (model.cif, model.fcf, model.hkl, model.res, model.ins))
    texts = {"instructions": res.decode("utf-8", "replace"), "reflections": hkl.decode("utf-8", "replace")}
    whole = cif_with_data(cif.decode("utf-8", "replace"), name=name, **texts).encode()
    found = {
        f"{name}.cif": (whole, "the structure, with .res and .hkl inside and their checksums: what CCDC and IUCr take"),
        f"{name}.fcf": (fcf, "observed and calculated structure factors"),
        f"{name}.hkl": (hkl, "intensities that were refined against, HKLF 4"),
        f"{name}.res": (res, "model after the last cycle, SHELXL's instructions"),
        f"{name}.ins": (ins, "model before it"),
    }
    if model.fab is not None:
        found[f"{name}.fab"] = (_read(model.fab.path), "what fills the pores, for ABIN of SHELXL")
    if what.unmerged is not None:
        found[f"{name}_unmerged.hkl"] = (_read(what.unmerged), "intensities before merging, HKLF 4, axes as integrated")
    if what.frames is not None:
        found[f"{name}_frames.cif"] = (frames_cif(what.frames).encode(), "beam, axes, detector, angles: imgCIF's items")
        found[f"{name}_frames.json"] = (_frames_json(what.frames), "the same and the electrons of every frame")
    found["report.html"] = (_read(what.report), "report of the whole run")
    found["results.json"] = (_read(what.results), "figures and provenance of the whole run")
    return found


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}", "run it again in the same folder") from error


def _frames_json(series: FrameSeries) -> bytes:
    kept = {"id", "sample", "composition", "beam", "detector", "direct_beam_px", "rotation_axis", "frames", "gain"}
    content = series.model_dump(mode="json", include={*kept, "pedestal", "saturation"})
    content["frames_sha256"] = series.stack.sha256
    return (json.dumps(content, indent=1) + "\n").encode()


def _page(what: Deposited, contents: dict[str, tuple[bytes, str]]) -> str:
    model = what.structure
    cell = " ".join(f"{value:.4f}" for value in model.unit_cell.parameters)
    rows = [f"| {file} | {len(data)} | {line} |" for file, (data, line) in contents.items()]
    lines = [
        f"# {model.id}: {model.formula}",
        "",
        f"{model.space_group}, cell {cell}.",
        f"R1 {model.r1:.4f}, wR2 {model.wr2:.4f} with {model.reflections} unique reflections of electron diffraction.",
        "",
        "| file | bytes | what it is |",
        "|---|---|---|",
        *rows,
        "",
        f"CCDC, journals of the IUCr and checkCIF: {model.id}.cif, which holds the intensities.",
        f"COD: {model.id}.cif, and {model.id}.fcf as its structure factors.",
        "Authors, title and the doi of the raw frames are not known here: add them when you upload. The frames",
        "themselves belong in an archive of raw data, for example as `apertura export --to nxmx` writes them.",
        "",
    ]
    return "\n".join(lines)
