"""results.json: the machine-readable account of a run. Schema 1: fields are added, never renamed."""

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field

from tasks.apertures import ApertureScores
from tasks.integrate import (
    CellScale,
    CountingLoss,
    CrystalRelation,
    Damage,
    DiscFigures,
    Reflections,
    volume_esd,
    whole_esd,
)
from tasks.model import Document
from tasks.model.claims import Claims
from tasks.model.provenance import Provenance
from tasks.model.twin import Twin
from tasks.refine import Alert, Misfit, Refinement, RestraintPull
from tasks.report.disorder_entries import DisorderEntry, SolventEntry, beyond_whole_atoms
from tasks.report.map_entry import MapsEntry, map_entry
from tasks.report.masked import ValidityEntry, validity_entry
from tasks.report.models import (
    ApertureGain,
    CrystalOutcome,
    Failure,
    NestedStudy,
    PhaseTrial,
    RunOutcome,
    SourceSummary,
    Status,
)
from tasks.report.patchwork_entries import PatchworkEntry, patchwork_entries
from tasks.report.reasons import reason_of
from tasks.report.wording import headline
from tasks.solve import Solutions

CellList = tuple[float, float, float, float, float, float]


class ApertureEntry(Document):
    """The virtual aperture of a crystal."""

    positions_per_tilt: tuple[int, ...]
    masks: str = Field(description="path in the run folder")
    origin: str
    notes: tuple[str, ...]
    scores: ApertureScores | None = Field(description="on the half of the events that did not choose the aperture")
    gain: ApertureGain | None = Field(description="the chosen positions beside all positions of the crystal")
    part_of: CrystalRelation | None = Field(description="the larger crystal that this one is a part of")


class FramesEntry(Document):
    """The frames of a crystal."""

    count: int
    counts_total: float = Field(description="electrons where the gain is known")


class IntegrationEntry(Document):
    """Merging statistics over all resolutions; fractions in [0, 1]."""

    engine: str
    version: str
    unit_cell: CellList
    unit_cell_esd: CellList | None = Field(description="of the fit alone, without the scale of the lengths")
    cell_esd: CellList | None = Field(description="standard uncertainty, the scale of the lengths included")
    cell_volume_esd_angstrom3: float | None = Field(description="likewise")
    cell_scale_relative_esd: float | None = Field(
        description="of all lengths together, over themselves; None = not known"
    )
    cell_scale: CellScale | None = Field(description="where that is from, and what the curvature of the sphere says")
    space_group: str
    laue_group: str
    d_min_angstrom: float
    observations: int
    unique: int
    completeness: float
    multiplicity: float
    i_over_sigma: float | None
    r_meas: float | None
    r_pim: float | None
    cc_half: float | None
    cc_half_events: float | None
    indexed_fraction: float | None
    rotation_axis_reversed: bool | None
    counting: CountingLoss | None = Field(description="how the camera counted, and what that cost; None = not known")
    discs: DiscFigures | None = Field(description="of a convergent beam; null where spots are points")
    hkl: str = Field(description="path in the run folder, HKLF 4")
    damage: Damage | None = Field(default=None, description="None = the engine does not look for it")
    warnings: tuple[str, ...]


class SolutionEntry(Document):
    """The best candidate structure."""

    engine: str
    version: str
    space_group: str
    trials: int
    figures: dict[str, float]
    r1: float
    verdict: str
    margin: str
    seed: int | None


class RefinementEntry(Document):
    """The refined structure; R factors are fractions."""

    engine: str
    version: str
    space_group: str
    unit_cell: CellList
    unit_cell_esd: CellList | None = Field(description="of the fit alone, without the scale of the lengths")
    cell_esd: CellList | None = Field(description="standard uncertainty, the scale of the lengths included")
    cell_volume_esd_angstrom3: float | None = Field(description="likewise")
    cell_scale_relative_esd: float | None = Field(
        description="of all lengths together, over themselves; None = not known"
    )
    scale_doubt: str | None = Field(description="what speaks against the scale of all lengths, in words; else null")
    formula: str
    r1: float
    r1_all: float
    wr2: float
    goof: float
    reflections: int
    reflections_observed: int
    parameters: int
    restraints: int
    twin: Twin | None = Field(description="law and fraction of the second crystal of a twin; else null")
    pulls: tuple[RestraintPull, ...] = Field(description="how far the model stands from its restraints")
    scattering: str | None = Field(description="table of scattering factors; null = not known")
    solvent_mask: SolventEntry | None = None
    disorder: tuple[DisorderEntry, ...] = ()
    verdict: str
    reasons: tuple[str, ...]
    warnings: tuple[str, ...]
    alerts: tuple[Alert, ...] = Field(description="of validation, A before B before C")
    cif: str = Field(description="path in the run folder")


class CrystalEntry(Document):
    """One crystal."""

    id: str
    status: Literal["solved", "not-solved", "not-indexed"]
    reason: str | None
    claims: Claims | None = Field(description="what is claimed of the structure, part by part; null without a model")
    failure: Failure | None
    phases: tuple[PhaseTrial, ...] = Field(description="of several compositions tried, the best first; else empty")
    aperture: ApertureEntry | None
    frames: FramesEntry | None
    integration: IntegrationEntry | None
    maps: MapsEntry | None = Field(description="over the probe positions; null where they were not asked for")
    nested: NestedStudy | None = Field(description="parts of it solved alone; null where they were not asked for")
    solution: SolutionEntry | None
    refinement: RefinementEntry | None
    worst_fitting: tuple[Misfit, ...] = Field(default=(), description="reflections of the refined structure")


class MergedEntry(Document):
    """Several crystals merged."""

    id: str
    status: Literal["solved", "not-solved", "not-indexed"]
    reason: str | None
    claims: Claims | None = Field(description="as of a crystal")
    failure: Failure | None
    phases: tuple[PhaseTrial, ...] = Field(description="of several compositions tried, the best first; else empty")
    members: tuple[str, ...]
    integration: IntegrationEntry | None
    solution: SolutionEntry | None
    refinement: RefinementEntry | None
    worst_fitting: tuple[Misfit, ...] = Field(default=(), description="as of a crystal")


class RunProvenance(Document):
    """What the run was made with."""

    versions: dict[str, str]
    settings_changed: dict[str, Any]
    seeds: dict[str, int]
    input_sha256: str
    stages: dict[str, Provenance] = Field(description="by crystal and stage: 'crystal-01/integrate'")


class Results(Document):
    """results.json."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)

    schema_version: Literal[1] = Field(default=1, alias="schema")
    status: Status
    headline: str = Field(description="the first line of the report")
    source: SourceSummary
    provenance: RunProvenance
    timings_s: dict[str, float]
    failure: Failure | None
    notes: tuple[str, ...]
    validity: ValidityEntry | None = Field(
        description="what of the detector was not used; null where there are no frames"
    )
    crystals: tuple[CrystalEntry, ...]
    merged: MergedEntry | None
    merged_others: tuple[MergedEntry, ...]
    patchwork: tuple[PatchworkEntry, ...] = Field(description="how crystals were joined, for each merged set")
    to_come: tuple[str, ...] = Field(
        default=(), description="what the run goes on to find out, after which this is written again; empty at its end"
    )


def results(outcome: RunOutcome, rundir: Path) -> dict[str, Any]:
    """Return results.json as plain values; paths are relative to `rundir`."""
    stages = stage_provenance(outcome)
    combined = outcome.combined
    relations = {} if combined is None else {one.crystal: one for one in combined.relations}
    document = Results(
        status=outcome.status,
        headline=headline(outcome),
        source=outcome.source,
        provenance=RunProvenance(
            versions=outcome.versions,
            settings_changed=outcome.settings_changed,
            seeds={name: made.seed for name, made in stages.items() if made.seed is not None},
            input_sha256=outcome.source.sha256,
            stages=stages,
        ),
        timings_s=outcome.timings_s,
        failure=outcome.failure,
        notes=outcome.notes,
        validity=validity_entry(outcome),
        crystals=tuple(_crystal(crystal, rundir, relations) for crystal in outcome.crystals),
        merged=None if outcome.merged is None else _merged(outcome.merged, rundir),
        merged_others=tuple(_merged(merged, rundir) for merged in outcome.merged_others),
        patchwork=patchwork_entries(outcome.combined),
        to_come=outcome.to_come,
    )
    return document.model_dump(mode="json", by_alias=True, context={"root": rundir})


def stage_provenance(outcome: RunOutcome) -> dict[str, Provenance]:
    """Return the provenance of every stage of every crystal, keyed ``crystal/stage``."""
    found: dict[str, Provenance] = {}
    if outcome.apertures is not None:
        found["apertures"] = outcome.apertures.provenance
    for crystal in (*outcome.crystals, *outcome.merged_all):
        stages = {
            "frames": crystal.frames,
            "integrate": crystal.reflections,
            "solve": crystal.solutions,
            "refine": crystal.refinement,
        }
        found |= {f"{crystal.id}/{name}": stage.provenance for name, stage in stages.items() if stage is not None}
    return found


def relative(path: Path, rundir: Path) -> str:
    """Return a path as seen from the run folder, with forward slashes."""
    return Path(os.path.relpath(path, rundir.resolve())).as_posix()


def _crystal(crystal: CrystalOutcome, rundir: Path, relations: dict[str, CrystalRelation]) -> CrystalEntry:
    aperture, frames = crystal.aperture, crystal.frames
    return CrystalEntry(
        id=crystal.id,
        status=crystal.status,
        reason=reason_of(crystal),
        claims=crystal.claims,
        failure=crystal.failure,
        phases=crystal.phases,
        aperture=None
        if aperture is None
        else ApertureEntry(
            positions_per_tilt=aperture.positions_per_tilt,
            masks=relative(aperture.masks.path, rundir),
            origin=aperture.origin,
            notes=aperture.notes,
            scores=aperture.scores,
            gain=crystal.gain,
            part_of=relations.get(crystal.id),
        ),
        frames=None
        if frames is None
        else FramesEntry(count=len(frames.frames), counts_total=sum(frame.counts for frame in frames.frames)),
        integration=_integration(crystal.reflections, rundir),
        maps=None
        if crystal.maps is None
        else map_entry(crystal.maps, relative(crystal.maps.file.path, rundir), crystal.parts),
        nested=crystal.nested,
        solution=_solution(crystal.solutions),
        refinement=_refinement(crystal.refinement, rundir),
        worst_fitting=crystal.misfits,
    )


def _merged(merged: CrystalOutcome, rundir: Path) -> MergedEntry:
    return MergedEntry(
        id=merged.id,
        status=merged.status,
        reason=reason_of(merged),
        claims=merged.claims,
        failure=merged.failure,
        phases=merged.phases,
        members=() if merged.reflections is None else merged.reflections.members,
        integration=_integration(merged.reflections, rundir),
        solution=_solution(merged.solutions),
        refinement=_refinement(merged.refinement, rundir),
        worst_fitting=merged.misfits,
    )


def _integration(data: Reflections | None, rundir: Path) -> IntegrationEntry | None:
    if data is None:
        return None
    overall = data.overall
    return IntegrationEntry(
        engine=data.provenance.engine,
        version=data.provenance.version,
        unit_cell=data.unit_cell.parameters,
        unit_cell_esd=data.unit_cell_esd,
        cell_scale=data.cell_scale,
        **_uncertainty(data),
        space_group=data.space_group,
        laue_group=data.laue_group,
        d_min_angstrom=overall.d_min_angstrom,
        observations=overall.observations,
        unique=overall.unique,
        completeness=overall.completeness,
        multiplicity=overall.multiplicity,
        i_over_sigma=overall.i_over_sigma,
        r_meas=overall.r_meas,
        r_pim=overall.r_pim,
        cc_half=overall.cc_half,
        cc_half_events=overall.cc_half_events,
        indexed_fraction=data.indexed_fraction,
        rotation_axis_reversed=None if data.axis_test is None else data.axis_test.reversed,
        counting=data.counting,
        discs=data.discs,
        hkl=relative(data.hklf4.path, rundir),
        damage=data.damage,
        warnings=data.warnings,
    )


def _solution(solutions: Solutions | None) -> SolutionEntry | None:
    if solutions is None:
        return None
    best = solutions.best
    return SolutionEntry(
        engine=solutions.provenance.engine,
        version=solutions.provenance.version,
        space_group=best.space_group,
        trials=solutions.trials,
        figures=best.figures,
        r1=best.r1,
        verdict=solutions.verdict,
        margin=solutions.margin,
        seed=solutions.provenance.seed,
    )


def _refinement(refined: Refinement | None, rundir: Path) -> RefinementEntry | None:
    if refined is None:
        return None
    uncertainty = _uncertainty(refined) | beyond_whole_atoms(refined)
    same = set(RefinementEntry.model_fields) - {"engine", "version", "unit_cell", "cif", *uncertainty}
    return RefinementEntry(
        engine=refined.provenance.engine,
        version=refined.provenance.version,
        unit_cell=refined.unit_cell.parameters,
        cif=relative(refined.cif.path, rundir),
        **{name: getattr(refined, name) for name in same},
        **uncertainty,
    )


def _uncertainty(of: Reflections | Refinement) -> dict[str, Any]:
    """Return the uncertainties of a cell with the scale in them, and the part that is scale."""
    return {
        "cell_esd": whole_esd(of.unit_cell, of.unit_cell_esd, of.cell_scale),
        "cell_volume_esd_angstrom3": volume_esd(of.unit_cell, of.unit_cell_esd, of.cell_scale),
        "cell_scale_relative_esd": None if of.cell_scale is None else of.cell_scale.relative_esd,
    }
