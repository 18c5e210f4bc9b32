"""How crystals were joined into one set of intensities: in the order of joining, with what each did."""

from typing import Literal

from pydantic import Field

from tasks.integrate import CombinedSets, CrystalCluster, CrystalLeftOut, JoiningEvidence, NeighbourIndexing
from tasks.model import Document
from tasks.report.wording import DASH, fixed, number, percent

Row = tuple[str, ...]

STEP_HEADER: Row = (
    "", "crystal", "indexed", "correlation of |E|", "without noise", "held out", "ΔCC½ joining", "ΔCC½ in the end",
    "scale", "complete", "CC½",
)  # fmt: skip


class PatchworkStep(Document):
    """One crystal that joined."""

    crystal: str
    indexed: Literal["alone", "by cell", "by neighbour"]
    neighbour: NeighbourIndexing | None = Field(description="how it was laid on the lattice of others; else null")
    joining: JoiningEvidence | None = Field(description="when it joined; null of the first")
    effect: JoiningEvidence | None = Field(description="against all others, at the end")
    scale: float = Field(description="by which its intensities were multiplied")
    b_angstrom2: float
    completeness: float | None = Field(description="of the first crystals up to this one, merged")
    cc_half: float | None = Field(description="likewise")


class PatchworkEntry(Document):
    """One set of crystals that were joined, and who was left out."""

    id: str = Field(description="of the merged set")
    joined: tuple[PatchworkStep, ...] = Field(description="in the order of joining")
    left_out: tuple[CrystalLeftOut, ...]


def patchwork_entries(combined: CombinedSets | None) -> tuple[PatchworkEntry, ...]:
    """Return the sets of more than one crystal."""
    sets = () if combined is None else combined.clusters
    return tuple(
        PatchworkEntry(id=one.id, joined=_steps(one), left_out=one.left_out) for one in sets if one.merged is not None
    )


def _steps(cluster: CrystalCluster) -> tuple[PatchworkStep, ...]:
    growth = {step.crystals: step for step in cluster.growth}
    steps = []
    for place, member in enumerate(cluster.members, 1):
        now = growth.get(place)
        steps.append(
            PatchworkStep(
                crystal=member.id,
                indexed=_indexed(member.neighbour),
                neighbour=member.neighbour,
                joining=member.joining,
                effect=member.effect,
                scale=member.scale,
                b_angstrom2=member.b_angstrom2,
                completeness=None if now is None else now.completeness,
                cc_half=None if now is None else now.cc_half,
            )
        )
    return tuple(steps)


def _indexed(neighbour: NeighbourIndexing | None) -> Literal["alone", "by cell", "by neighbour"]:
    if neighbour is None:
        return "alone"
    return "by cell" if neighbour.start is None else "by neighbour"


def step_rows(entry: PatchworkEntry) -> tuple[Row, ...]:
    """Return a row for each crystal that joined."""
    rows = []
    for place, step in enumerate(entry.joined, 1):
        shown = step.joining or step.effect or JoiningEvidence(correlation=None)
        rows.append(
            (
                str(place),
                step.crystal,
                _indexed_text(step.neighbour),
                f"{fixed(shown.correlation, 2)} of {shown.reflections}",
                fixed(shown.without_noise, 2),
                f"{fixed(shown.held_out, 2)} of {shown.held_out_reflections}",
                _signed(None if step.joining is None else step.joining.delta_cc_half),
                _signed(None if step.effect is None else step.effect.delta_cc_half),
                number(step.scale, 3),
                percent(step.completeness),
                fixed(step.cc_half, 3),
            )
        )
    return tuple(rows)


def _indexed_text(neighbour: NeighbourIndexing | None) -> str:
    if neighbour is None:
        return "alone"
    spots = f"{neighbour.indexed} of {neighbour.spots} reflections"
    if neighbour.start is None:
        return f"by the cell of {neighbour.reference}: {spots}"
    return f"near {neighbour.start}, turned by {neighbour.turn_deg or 0.0:.1f}°: {spots}"


def _signed(value: float | None) -> str:
    return DASH if value is None else f"{value:+.3f}"
