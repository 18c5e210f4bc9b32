"""What is drawn: the crystals of a series and their masks. A drawing never changes; its methods return a new one."""

import re
from collections.abc import Sequence
from functools import cache
from typing import Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from tasks.apertures import ApertureSet
from tasks.drawing.shapes import Point, sides_of_line

Origin = Literal["proposed", "drawn", "edited"]
State = Literal["open", "accepted", "rejected"]


@cache
def _empty(size: int) -> bytes:
    return bytes(size)


def packed(mask: NDArray[np.bool_]) -> bytes:
    """Return a mask (ny, nx) as bits, eight positions a byte; empty masks of one size are one object."""
    bits = np.packbits(mask).tobytes()
    return bits if any(bits) else _empty(len(bits))


class DrawingCrystal(NamedTuple):
    """One crystal: its masks are kept as bits, one plane for each tilt, and drawings share the planes they agree in."""

    id: str
    name: str
    scan_shape: tuple[int, int]
    planes: tuple[bytes, ...]
    origin: Origin = "drawn"
    state: State = "open"

    @classmethod
    def of(
        cls,
        name_of_crystal: str,
        masks: NDArray[np.bool_],
        *,
        name: str = "",
        origin: Origin = "drawn",
        state: State = "open",
    ) -> Self:
        """Return a crystal by its id, ``crystal-NN``, with masks (n_tilts, ny, nx).

        Raises
        ------
        ValueError
            If the id or the shape is not such.
        """
        if not re.fullmatch(r"crystal-\d{2,}", name_of_crystal):
            raise ValueError(f"{name_of_crystal!r} is not an id like crystal-01")
        if masks.ndim != 3:
            raise ValueError(f"masks are (n_tilts, ny, nx), got {masks.shape}")
        planes = tuple(packed(mask) for mask in masks.astype(bool))
        return cls(name_of_crystal, name, (masks.shape[1], masks.shape[2]), planes, origin, state)

    @property
    def masks(self) -> NDArray[np.bool_]:
        """The positions at every tilt, (n_tilts, ny, nx); read-only, unpacked anew every time."""
        out = np.array([self.mask(tilt) for tilt in range(len(self.planes))]).reshape(-1, *self.scan_shape)
        out.flags.writeable = False
        return out

    def mask(self, tilt: int) -> NDArray[np.bool_]:
        """Return the positions at one tilt, (ny, nx); read-only."""
        number = self.scan_shape[0] * self.scan_shape[1]
        bits = np.unpackbits(np.frombuffer(self.planes[tilt], dtype=np.uint8), count=number)
        out = bits.view(bool).reshape(self.scan_shape)
        out.flags.writeable = False
        return out

    @property
    def positions_per_tilt(self) -> tuple[int, ...]:
        """How many positions it has at each tilt."""
        return tuple(int.from_bytes(plane, "little").bit_count() for plane in self.planes)

    @property
    def label(self) -> str:
        """What a person calls it: its name, or its id where it has none."""
        return self.name or self.id

    def with_planes(self, planes: Sequence[bytes]) -> Self:
        """Return it with other masks: what was proposed is then edited."""
        if tuple(planes) == self.planes:
            return self
        return self._replace(planes=tuple(planes), origin="edited" if self.origin == "proposed" else self.origin)


class Drawing(NamedTuple):
    """The crystals of a series, in the order in which they are listed."""

    crystals: tuple[DrawingCrystal, ...] = ()

    @classmethod
    def of(cls, apertures: ApertureSet) -> Self:
        """Return what a run proposes, or what was drawn for it."""
        origins: dict[str, Origin] = {"automatic": "proposed", "user": "drawn"}
        return cls(
            tuple(DrawingCrystal.of(one.id, one.positions, origin=origins[one.origin]) for one in apertures.crystals)
        )

    def crystal(self, name: str) -> DrawingCrystal:
        """Return a crystal by its id; raises KeyError if there is none."""
        for one in self.crystals:
            if one.id == name:
                return one
        raise KeyError(f"no crystal {name!r} in the drawing")

    @property
    def ids(self) -> tuple[str, ...]:
        """Of all crystals, rejected ones too."""
        return tuple(one.id for one in self.crystals)

    def masks(self) -> dict[str, NDArray[np.bool_]]:
        """Return the masks (n_tilts, ny, nx) by id of what an aperture file holds: not rejected, not empty."""
        return {one.id: one.masks for one in self.crystals if one.state != "rejected" and any(one.positions_per_tilt)}

    def with_mask(self, name: str, tilt: int, mask: NDArray[np.bool_]) -> Self:
        """Return it with another mask (ny, nx) of one crystal at one tilt."""
        one = self.crystal(name)
        if mask.shape != one.scan_shape:
            raise ValueError(f"a mask is {one.scan_shape}, got {mask.shape}")
        planes = list(one.planes)
        planes[tilt] = packed(mask)
        return self._with(one.with_planes(planes))

    def with_masks(self, name: str, masks: NDArray[np.bool_]) -> Self:
        """Return it with other masks (n_tilts, ny, nx) of one crystal."""
        one = self.crystal(name)
        if masks.shape != (len(one.planes), *one.scan_shape):
            raise ValueError(f"masks are {(len(one.planes), *one.scan_shape)}, got {masks.shape}")
        return self._with(one.with_planes([packed(mask) for mask in masks]))

    def with_new(self, masks: NDArray[np.bool_], name: str | None = None) -> Self:
        """Return it with one crystal more, last in the list, drawn by hand: masks (n_tilts, ny, nx)."""
        new = DrawingCrystal.of(self.next_id(), masks, name=name or "")
        if self.crystals and (len(new.planes), new.scan_shape) != self._form():
            raise ValueError(f"masks of the drawing are {self._form()}, got {masks.shape}")
        return self._replace(crystals=(*self.crystals, new))

    def next_id(self) -> str:
        """Return the id that the next new crystal gets: one more than the greatest."""
        numbers = [int(one.id.removeprefix("crystal-")) for one in self.crystals]
        return f"crystal-{1 + max(numbers, default=0):02d}"

    def without(self, name: str) -> Self:
        """Return it without one crystal."""
        self.crystal(name)
        return self._replace(crystals=tuple(one for one in self.crystals if one.id != name))

    def merged(self, names: Sequence[str]) -> Self:
        """Return it with several crystals as one, the first named, which has the positions of all."""
        if len(set(names)) < 2:
            raise ValueError("name two different crystals at least to be merged")
        parts = [self.crystal(name) for name in dict.fromkeys(names)]
        joined = np.any([part.masks for part in parts], axis=0)
        kept = parts[0].with_planes([packed(mask) for mask in joined])
        gone = {part.id for part in parts[1:]}
        rest = tuple(kept if one.id == kept.id else one for one in self.crystals if one.id not in gone)
        return self._replace(crystals=rest)

    def split(
        self,
        name: str,
        tilt: int,
        *,
        labels: NDArray[np.integer] | None = None,
        line: tuple[Point, Point] | None = None,
        offsets: NDArray[np.float64] | None = None,
    ) -> Self:
        """Return it with one crystal divided: the largest part keeps the id, the others are new crystals.

        Parameters
        ----------
        labels
            (ny, nx): equal numbers are one part; by default the two sides of `line` (two points).
        offsets
            (n_tilts, 2), the place of each scan's content (`Drift.offsets`): the division is carried to all tilts.
            None: only this tilt is divided, and at the others all stays with the first part.

        Raises
        ------
        ValueError
            If neither labels nor line is given, or all positions at this tilt lie in one part.
        """
        one = self.crystal(name)
        if labels is None:
            if line is None:
                raise ValueError("give labels or a line to split by")
            labels = sides_of_line(one.scan_shape, *line)
        numbers, counts = np.unique(labels[one.mask(tilt)], return_counts=True)
        if len(numbers) < 2:
            raise ValueError(f"all positions of {one.id} at this tilt lie in one part: nothing is divided")
        order = numbers[np.argsort(-counts, kind="stable")]
        parts = _divided(one, tilt, labels, order, offsets)
        whole = self._with(one.with_planes([packed(mask) for mask in parts[0]]))
        for part in parts[1:]:
            whole = whole.with_new(part, f"{one.name} part" if one.name else None)
        return whole

    def renamed(self, name: str, new: str) -> Self:
        """Return it with another name of one crystal; its id stays."""
        return self._with(self.crystal(name)._replace(name=new.strip()))

    def with_state(self, name: str, state: State) -> Self:
        """Return it with one crystal accepted, rejected, or open again."""
        return self._with(self.crystal(name)._replace(state=state))

    def _with(self, changed: DrawingCrystal) -> Self:
        return self._replace(crystals=tuple(changed if one.id == changed.id else one for one in self.crystals))

    def _form(self) -> tuple[int, tuple[int, int]]:
        return len(self.crystals[0].planes), self.crystals[0].scan_shape


def _divided(
    one: DrawingCrystal,
    tilt: int,
    labels: NDArray[np.integer],
    numbers: NDArray[np.integer],
    offsets: NDArray[np.float64] | None,
) -> list[NDArray[np.bool_]]:
    """Return the masks (n_tilts, ny, nx) of each part; what has none of the numbers goes to the first."""
    masks = one.masks
    parts = [np.zeros_like(masks) for _ in numbers]
    rows, columns = np.indices(one.scan_shape)
    for index, mask in enumerate(masks):
        if offsets is None and index != tilt:
            parts[0][index] = mask
            continue
        move = np.zeros(2) if offsets is None else np.rint(offsets[index] - offsets[tilt])
        row = np.clip(rows - int(move[0]), 0, one.scan_shape[0] - 1)
        column = np.clip(columns - int(move[1]), 0, one.scan_shape[1] - 1)
        here = labels[row, column]
        for part, number in zip(parts[1:], numbers[1:], strict=True):
            part[index] = mask & (here == number)
        parts[0][index] = mask & ~np.any([part[index] for part in parts[1:]], axis=0)
    return parts
