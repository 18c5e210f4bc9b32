"""Carrying on by hand: folders of a finished run's crystals that run as they stand in another program."""

from pathlib import Path
from typing import Any, Literal, get_args

from adapters.programs.export import export_dials, export_pets, export_shelx, export_xds
from flows.run_folder import read_results
from tasks.frames import FrameSeries
from tasks.integrate import Reflections
from tasks.model import Composition, SettingsError, SourceError
from tasks.stage import read_document

Target = Literal["xds", "dials", "pets", "shelx"]


def export_run(run: Path, target: str, out: Path, *, crystal: str | None = None) -> list[Path]:
    """Write one folder for each crystal of a finished run below `out`; return the folders.

    Raises
    ------
    SettingsError
        If the target is unknown or `out` holds something.
    SourceError
        If the run is not finished or has no such crystal.
    """
    if target not in get_args(Target):
        raise SettingsError(f"--to {target!r}: unknown", f"one of {', '.join(get_args(Target))}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SettingsError(f"--out {out}: exists and is not an empty folder", "choose a new folder")
    results = read_results(run)
    crystals = [path for path in sorted((run / "crystals").glob("*")) if crystal in {None, path.name}]
    if not crystals:
        raise SourceError(f"{run}: no crystal {crystal or ''}".rstrip(), "see results.json for what there is")
    return [
        _export(path, target, out / path.name, _contents(results, path.name)) for path in crystals if _has(path, target)
    ]


def _contents(results: dict[str, Any], crystal: str) -> Composition | None:
    """Return the contents that a crystal was solved with."""
    phases = [one.get("phases") for one in results["crystals"] if one["id"] == crystal]
    tried = next(iter(phases), None) or [results["source"]]
    text = tried[0].get("composition")
    return Composition.parse(text) if text else None


def _has(crystal: Path, target: str) -> bool:
    return (crystal / ("integrate" if target == "shelx" else "frames") / "document.json").is_file()


def _export(crystal: Path, target: str, folder: Path, composition: Composition | None) -> Path:
    if target == "shelx":
        export_shelx(read_document(crystal / "integrate", Reflections), composition, folder)
        return folder
    frames = read_document(crystal / "frames", FrameSeries)
    if target == "xds":
        export_xds(frames, folder)
    elif target == "pets":
        export_pets(frames, folder)
    else:
        export_dials(frames, folder, axis=_axis(crystal))
    return folder


def _axis(crystal: Path) -> tuple[float, float, float] | None:
    if not (crystal / "integrate" / "document.json").is_file():
        return None
    test = read_document(crystal / "integrate", Reflections).axis_test
    return None if test is None else test.axis
