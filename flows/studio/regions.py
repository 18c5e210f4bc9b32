"""How crystals look on the image of the scan: fills, outlines and numbers in colours that all can tell apart."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.studio.desk import Desk
from flows.studio.sketch import Mask
from tasks.drawing import DrawingCrystal, Edges, edges_of

COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#d55e00", "#cc79a7", "#0072b2")
"""Colours of crystals in turn: those of Okabe & Ito (2008), told apart by colour-blind readers; black is left out."""
FILL, STRONG = "40", "70"
"""Opacity of a crystal and of the current one, of ff. Chosen, not measured: the image shows through both."""
LINES = [*COLOURS, "#ffffff"]
"""Of outlines; the last is what nothing is said of."""
FILLS = ["#00000000", *(f"{colour}{FILL}" for colour in COLOURS)]
CURRENT = ["#00000000", *(f"{colour}{STRONG}" for colour in COLOURS)]


class Regions(NamedTuple):
    """All crystals at one tilt but the current: fills (ny, nx), outlines with colour numbers, labels."""

    fills: NDArray[np.uint8]
    edges: Edges
    colours: NDArray[np.int64]
    centres: NDArray[np.float64]
    labels: tuple[str, ...]


def number_of(crystal: str) -> int:
    """Return the number in an id like crystal-07."""
    return int(crystal.removeprefix("crystal-").partition("-")[0])


def colour_number(crystal: str) -> int:
    """Return which of `COLOURS` a crystal has: the same for as long as it has this id."""
    return (number_of(crystal) - 1) % len(COLOURS)


def regions_of(desk: Desk) -> Regions:
    """Return how the crystals of the drawing look at the tilt that is shown; rejected ones are left out."""
    shown = [one for one in desk.drawing.crystals if one.state != "rejected"]
    masks = [(one, one.mask(desk.tilt)) for one in shown]
    masks = sorted((pair for pair in masks if pair[1].any()), key=lambda pair: -int(pair[1].sum()))
    fills = np.zeros(desk.scene.scan_shape, dtype=np.uint8)
    edges, colours = [], []
    for one, mask in masks:
        if one.id == desk.crystal:
            continue
        fills[mask] = 1 + colour_number(one.id)
        edges.append(edges_of(mask))
        colours.append(np.full(len(edges[-1].row_0), colour_number(one.id)))
    joined = (
        Edges(*(np.concatenate([np.zeros(0), *parts]) for parts in zip(*edges, strict=True))) if edges else NO_EDGES
    )
    centres = np.array([middle_of(mask) for _, mask in masks], dtype=np.float64).reshape(-1, 2)
    return Regions(
        fills, joined, np.concatenate([np.zeros(0, int), *colours]), centres, tuple(label(one) for one, _ in masks)
    )


def current_fill(desk: Desk, mask: Mask) -> tuple[NDArray[np.uint8], str, Edges]:
    """Return fill, colour and outline of the current aperture, drawn as far as it is."""
    colour = colour_number(desk.crystal or desk.drawing.next_id())
    return mask.astype(np.uint8) * np.uint8(1 + colour), COLOURS[colour], edges_of(mask)


def label(crystal: DrawingCrystal) -> str:
    """Return what stands on a crystal: its number, and its name if it was given one."""
    return f"{number_of(crystal.id)} {crystal.name}".strip()


def middle_of(mask: Mask) -> NDArray[np.float64]:
    """Return the position of a mask nearest to the mean of all: its label lies on it, whatever its form."""
    places = np.argwhere(mask)
    return np.asarray(places[np.argmin(((places - places.mean(axis=0)) ** 2).sum(axis=1))], dtype=np.float64)


NO_EDGES = Edges(*(np.zeros(0) for _ in range(4)))
