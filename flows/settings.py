"""The settings of a run: every stage's engine and parameters in one document."""

from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, ValidationError, model_validator

from adapters.cctbx.refine_engine import SmtbxRefiner
from adapters.compute.dask_workers import DaskCompute
from adapters.compute.here import ThreadsCompute
from adapters.compute.processes import ProcessesCompute
from adapters.programs.dials.engine import DialsIntegrator
from adapters.programs.shelx.refine_engine import ShelxlRefiner
from adapters.programs.shelx.solve_engine import ShelxdSolver, ShelxsSolver, ShelxtSolver
from adapters.programs.xds.engine import XdsIntegrator
from flows.policies import AllIntegrators, AllRefiners, AllSolvers, AutoIntegrator, AutoRefiner, AutoSolver
from tasks.apertures import ApertureFile, AutomaticApertures
from tasks.frames import FrameSettings
from tasks.ingest import IngestSettings
from tasks.integrate import BuiltinIntegrator, PatchworkSettings
from tasks.model import Composition, Document, InputError, SettingsError
from tasks.solve import ChargeFlipping, DirectMethods

ApertureChoice = Annotated[AutomaticApertures | ApertureFile, Field(discriminator="engine")]
IntegratorChoice = Annotated[
    BuiltinIntegrator | DialsIntegrator | XdsIntegrator | AutoIntegrator | AllIntegrators, Field(discriminator="engine")
]
SolverChoice = Annotated[
    DirectMethods | ChargeFlipping | ShelxtSolver | ShelxsSolver | ShelxdSolver | AutoSolver | AllSolvers,
    Field(discriminator="engine"),
]
RefinerChoice = Annotated[SmtbxRefiner | ShelxlRefiner | AutoRefiner | AllRefiners, Field(discriminator="engine")]
ComputeChoice = Annotated[ThreadsCompute | ProcessesCompute | DaskCompute, Field(discriminator="engine")]

DEFAULT_ENGINES = {
    "apertures": "automatic",
    "integrate": "builtin",
    "solve": "direct-methods",
    "refine": "smtbx",
    "compute": "threads",
}
ENGINES = frozenset(
    ("builtin", "dials", "xds", "auto", "all", "direct-methods", "charge-flipping", "shelxt", "shelxs", "shelxd")
) | {"smtbx", "shelxl", "automatic", "file", "threads", "processes", "dask"}
WHERE = frozenset({"compute", "workers"})
"""Settings of which no result, and no hash of one, knows anything."""
CONFIG_BYTES_MAX = 2**20
"""All settings with their defaults are 1 kB: what is far larger is another file."""


class StudySettings(Document):
    """What a run finds out about its crystals beside their structures."""

    nested: bool = Field(
        default=False,
        description="solve ever smaller parts of each solved crystal, in its geometry: how much of it would have "
        "sufficed (built-in engine)",
    )
    positions: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(),
        max_length=20,
        description="of these parts, at every tilt; none: powers of two from half of the crystal downwards. The "
        "largest is tried first, and none after one that did not suffice",
    )


class Settings(Document):
    """What a run does. Every field has a default that is meant to work on data nobody has seen."""

    composition: str | None = Field(
        default=None, max_length=500, description='empirical contents, "C19 H22 N2 O"; overrides that of the source'
    )
    compositions: tuple[Annotated[str, Field(max_length=500)], ...] = Field(
        default=(),
        max_length=20,
        description="contents of the phases that may be there; each crystal is tried with all",
    )
    ingest: IngestSettings = Field(default=IngestSettings(), description="how scans are read")
    apertures: ApertureChoice = Field(default=AutomaticApertures(), description="which positions make a crystal")
    frames: FrameSettings = Field(default=FrameSettings(), description="how frames are centred and summed")
    integrate: IntegratorChoice = Field(default=BuiltinIntegrator(), description="frames to intensities")
    solve: SolverChoice = Field(default=DirectMethods(), description="intensities to a first structure")
    refine: RefinerChoice = Field(default=SmtbxRefiner(), description="least squares")
    merge_crystals: bool = Field(default=True, description="merge crystals of one lattice and solve the merged data")
    patchwork: PatchworkSettings = Field(default=PatchworkSettings(), description="which crystals are joined, and how")
    compare_apertures: bool = Field(
        default=True, description="integrate and refine all positions of each crystal too, beside those chosen"
    )
    position_maps: bool = Field(
        default=False,
        description="map misorientation, scale, strain and rocking curve of each crystal over its probe positions, and "
        "measure one that bends by parts of nearly one orientation each (built-in engine)",
    )
    study: StudySettings = Field(default=StudySettings(), description="how much of a crystal would have sufficed")
    compute: ComputeChoice = Field(
        default=ThreadsCompute(), description="where the work on crystals is done; results do not depend on it"
    )
    workers: int | None = Field(default=None, description="earlier name of compute.workers, which it sets")

    @model_validator(mode="before")
    @classmethod
    def _engine_defaults(cls, values: Any) -> Any:
        """Let `integrate.d_min_angstrom=0.8` mean the default engine's parameter."""
        if not isinstance(values, dict):
            return values
        filled = dict(values)
        if isinstance(filled.get("apertures"), dict):
            filled["apertures"] = _aperture_engine(filled["apertures"])
        filled = _with_workers(filled)
        if isinstance(filled.get("compute"), dict) and {"address", "cluster"} & filled["compute"].keys():
            filled["compute"] = {"engine": "dask", **filled["compute"]}
        for stage, engine in DEFAULT_ENGINES.items():
            if isinstance(filled.get(stage), dict):
                filled[stage] = {"engine": engine, **filled[stage]}
        return filled

    @model_validator(mode="after")
    def _composition_is_a_formula(self) -> "Settings":
        if self.composition is not None and self.compositions:
            raise SettingsError("composition and compositions are both set", "give one of them")
        try:
            for text in self.contents:
                Composition.parse(text)
        except InputError as error:
            raise SettingsError(*error.args) from error
        return self

    @model_validator(mode="after")
    def _nested_has_an_engine(self) -> "Settings":
        if self.study.nested and self.integrate.engine not in ("builtin", "auto", "all"):
            raise SettingsError(
                f"study.nested: integrate.engine={self.integrate.engine} keeps no geometry to measure parts in",
                "set integrate.engine=builtin",
            )
        return self

    @property
    def contents(self) -> tuple[str, ...]:
        """The compositions that are set; none if the source is to be asked."""
        return self.compositions or ((self.composition,) if self.composition is not None else ())

    @property
    def of_results(self) -> dict[str, Any]:
        """The settings that a result may depend on: all but where it is computed."""
        return {name: getattr(self, name) for name in type(self).model_fields if name not in WHERE}

    def changed(self) -> dict[str, Any]:
        """Return the settings that differ from the defaults, nested as in the document."""
        mine, default = self.model_dump(mode="json"), Settings().model_dump(mode="json")
        return _difference(mine, default)


def load_settings(config: Path | None, assignments: list[str]) -> Settings:
    """Read a YAML file of settings and apply ``a.b=c`` assignments on top.

    Raises
    ------
    SettingsError
        Naming the setting and what is wrong with it, one line for each.
    """
    values = _read_config(config) if config is not None else {}
    for assignment in assignments:
        apply_assignment(values, assignment)
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        lines = [f"{_place(item['loc'], item['type'])}: {item['msg']}" for item in error.errors()]
        raise SettingsError("settings refused: " + "; ".join(lines), "`apertura schema` lists all settings") from error
    except OSError as error:  # a file that the settings name
        raise SettingsError(f"settings refused: {error}", "name a readable file") from error


def _with_workers(values: dict[str, Any]) -> dict[str, Any]:
    """Let `workers=4`, as it was called before there were engines to compute with, mean `compute.workers`."""
    if values.get("workers") is None:
        return values
    compute = values.get("compute", {})
    given = compute.model_dump() if isinstance(compute, Document) else compute
    if not isinstance(given, dict):
        return values
    workers = given.get("workers") if "workers" in given and isinstance(compute, dict) else values["workers"]
    return {**values, "compute": {**given, "workers": workers}, "workers": None}


def _aperture_engine(values: dict[str, Any]) -> dict[str, Any]:
    """Let `apertures.file=FILE` mean the engine that reads files; what is set for proposals is not asked then."""
    if "engine" in values or "file" not in values:
        return values
    if values["file"] is None:
        return {name: value for name, value in values.items() if name != "file"}
    needless = AutomaticApertures.model_fields.keys() - ApertureFile.model_fields.keys()
    return {"engine": "file", **{name: value for name, value in values.items() if name not in needless}}


def _place(location: tuple[int | str, ...], kind: str) -> str:
    # an engine's name comes second, after its stage: "file" is a field as well
    parts = [str(part) for depth, part in enumerate(location) if depth != 1 or part not in ENGINES]
    return ".".join([*parts, "engine"] if kind == "union_tag_invalid" else parts) or "settings"


def _read_config(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > CONFIG_BYTES_MAX:
            raise SettingsError(f"{path}: larger than {CONFIG_BYTES_MAX} bytes", "this is not a settings file")
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"--config {path}: {error.strerror}", "name a readable YAML file") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise SettingsError(f"--config {path}: not YAML: {error}", "see `apertura schema` for the settings") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise SettingsError(f"--config {path}: must be a mapping of settings", "see `apertura schema`")
    return values


def apply_assignment(values: dict[str, Any], assignment: str) -> None:
    """Put the value of one ``a.b=c`` into nested settings."""
    name, separator, text = assignment.partition("=")
    parts = name.strip().split(".")
    if not separator or not all(parts):
        raise SettingsError(f"--set {assignment!r}: not of the form a.b=c", "write it like integrate.engine=dials")
    try:
        value = yaml.safe_load(text) if text.strip() else None
    except yaml.YAMLError as error:
        raise SettingsError(f"--set {assignment!r}: the value is not YAML", "quote it") from error
    place = values
    for part in parts[:-1]:
        inner = place.setdefault(part, {})
        if not isinstance(inner, dict):
            raise SettingsError(f"--set {assignment!r}: {part!r} is not a group of settings", "see `apertura schema`")
        place = inner
    place[parts[-1]] = value


def _difference(mine: dict[str, Any], default: dict[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, value in mine.items():
        if isinstance(value, dict) and isinstance(default.get(name), dict):
            if inner := _difference(value, default[name]):
                result[name] = inner
        elif value != default.get(name):
            result[name] = value
    return result
