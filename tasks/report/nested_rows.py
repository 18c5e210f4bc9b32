"""Nested regions of a crystal in words and rows: how much of it would have sufficed."""

from collections.abc import Sequence

from tasks.report.models import NestedRegion, NestedStudy
from tasks.report.wording import DASH, fixed, number, percent

NESTED_HEADER = ("positions at a tilt", "electrons", "unit cells", "unique", "d min (Å)", "CC½", "R1", "")


def sufficient(regions: Sequence[NestedRegion]) -> NestedRegion | None:
    """Return the smallest region that sufficed, of those the largest first until one did not; None if none did."""
    smallest = None
    for region in regions:
        if not region.sufficed:
            break
        smallest = region
    return smallest


def nested_sentence(study: NestedStudy) -> str:
    """Return in words how much of a crystal would have sufficed."""
    if study.note:
        return f"No part of it was tried: {study.note}."
    found = sufficient(study.regions)
    if found is None:
        tried = ", ".join(str(region.positions) for region in study.regions)
        return f"No part of it sufficed; tried were the best {tried} positions at every tilt."
    said = (
        f"{percent(study.fraction)} of its electrons would have sufficed: its best {found.positions} of "
        f"{study.positions} positions at every tilt ({number(found.electrons)} electrons, about "
        f"{number(found.unit_cells, 2)} unit cells at a tilt if it is as thick as it is wide), in the geometry of the "
        "whole crystal."
    )
    return said if found is not study.regions[-1] else f"{said} Nothing smaller was tried."


def nested_rows(study: NestedStudy) -> tuple[tuple[str, ...], ...]:
    """Return the rows of the table, the largest region first."""
    return tuple(
        (
            str(region.positions),
            number(region.electrons),
            number(region.unit_cells, 2),
            DASH if region.unique is None else str(region.unique),
            fixed(region.d_min_angstrom),
            fixed(region.cc_half, 3),
            percent(region.r1),
            "sufficed" if region.sufficed else f"{region.status.replace('-', ' ')}: {region.reason}",
        )
        for region in study.regions
    )
