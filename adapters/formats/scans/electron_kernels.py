"""The loops that turn pixels into events, compiled: one pass over the bytes of some frames.

Frames are gone through by groups of words, as most of them hold nothing. Rows are `row_bytes` apart. Of the events of a
position the pixels are in order.
"""

import numpy as np
from numba import njit, types

IMPOSSIBLE, TOO_MANY = -1, -2
"""In place of the number of events: a value is no number of electrons; there are more than allowed."""
GROUP = 8
"""Words that are looked at together: a line of the cache. Chosen, not measured: more hold electrons more often."""
DE_BRUIJN = np.uint64(0x03F79D71B4CB0A89)
"""A de Bruijn sequence of order 6: its six high bits differ for each bit that multiplies it (Leiserson, Prokop &
Randall, Using de Bruijn sequences to index a 1 in a computer word, MIT, 1998)."""
BIT_OF = np.argsort([((0x03F79D71B4CB0A89 << bit) % 2**64) >> 58 for bit in range(64)])
"""The number of a bit, by those six bits."""
Records = types.Array(types.uint64, 2, "C")
"""Frames by words of eight bytes, (n, words). Types are stated, so that one machine code serves all byte orders."""
Held = types.Array(types.uint64, 1, "C")
"""Words, (n,)."""
Counted = types.Array(types.int64, 1, "C")
"""Pixels, or electrons, (n,)."""
Kept = types.Array(types.boolean, 1, "C")
"""Whether each frame is wanted, (n,)."""
Events = types.Array(types.uint32, 1, "C")
"""Flat pixels of electrons, (n,)."""
Layout = (types.int64, types.int64, types.int64)
Rule = (types.float64, types.float64, types.float64)
Room = (types.int64, types.int64, Kept, Counted, Events)
Written = types.Tuple((Events, types.int64))
"""Parts of the arguments that several have, and what is returned."""


@njit(types.void(Events, Counted, Counted, Counted, Events), cache=True, nogil=True)
def scatter(events, order, lengths, offsets, out):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """Copy events, which follow each other in the order of positions `order`, to where `offsets` has each position."""
    read = 0
    for position in order:
        for index in range(lengths[position]):
            out[offsets[position] + index] = events[read + index]
        read += lengths[position]


@njit(Events(Events, types.int64, types.int64), cache=True, nogil=True)
def _with_room(events, written, more):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Return memory for so many events more, with those that are written."""
    if written + more <= len(events):
        return events
    larger = np.empty(2 * len(events) + more, dtype=np.uint32)
    larger[:written] = events[:written]
    return larger


@njit(types.int64(Events, types.int64, Counted, Counted, types.int64), cache=True, nogil=True)
def _write(events, written, pixel, electrons, hit):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Write the first `hit` pixels, each as often as it holds electrons; return how many events are written then."""
    for index in range(hit):
        for _ in range(electrons[index]):
            events[written] = pixel[index]
            written += 1
    return written


@njit(inline="always")
def _lowest_bit(word):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Return the number of the lowest bit that is set, of a word that is not zero."""
    return np.int64(BIT_OF[((word & (~word + np.uint64(1))) * DE_BRUIJN) >> np.uint64(58)])


@njit(types.int64(Records, types.int64, *Layout, types.int64, Held, Counted), cache=True, nogil=True)
def _hold(words, frame, rows, columns, row_bytes, size, held, begins):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """List the words of a frame that are not zero, and the flat pixel with which each begins; return their number."""
    row_words, per, found = row_bytes // 8, 8 // size, 0
    for row in range(rows):
        begin, place = row * row_words, row * columns
        for group in range(0, row_words, GROUP):
            count = min(GROUP, row_words - group)
            if count == GROUP:
                anything = np.uint64(0)
                for at in range(GROUP):  # a fixed number, so that it becomes a few instructions
                    anything |= words[frame, begin + group + at]
                if anything == 0:
                    continue
            for at in range(count):  # without a branch, which nothing could foretell
                word = words[frame, begin + group + at]
                held[found] = word
                begins[found] = place + (group + at) * per
                found += word != 0
    return found


@njit(inline="always")
def _number(value, size, big, signed):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Return what `size` bytes mean."""
    if big:
        turned = np.uint64(0)
        for _ in range(size):
            turned = (turned << np.uint64(8)) | (value & np.uint64(255))
            value = value >> np.uint64(8)
        value = turned
    empty = np.uint64(64 - 8 * size)
    return np.float64(np.int64(value << empty) >> np.int64(empty)) if signed else np.float64(value)


@njit(
    types.int64(
        Held, Counted, types.int64, types.int64, types.boolean, types.boolean, *Rule, types.int64, Counted, Counted
    ),
    cache=True,
    nogil=True,
)
def _part(held, begins, found, size, big, signed, cut, pedestal, units, most, pixel, electrons):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """List the pixels in words that hold electrons, and how many; return their number, or `IMPOSSIBLE`."""
    shift = np.uint64(_lowest_bit(np.uint64(8 * size)))  # a division for each pixel would take longer than the rest
    mask = ~np.uint64(0) >> np.uint64(64 - 8 * size)
    counts = cut == 1.0 and pedestal == 0.0 and units == 1.0
    hit = 0
    for index in range(found):
        word = held[index]
        while word != 0:
            part = np.uint64(_lowest_bit(word)) >> shift
            number = _number((word >> (part << shift)) & mask, size, big, signed)
            word &= ~(mask << (part << shift))
            exact = np.floor((number - pedestal) / units + 0.5)
            if (number >= cut and exact > most) or (counts and number < 0):
                return IMPOSSIBLE
            pixel[hit] = begins[index] + np.int64(part)
            electrons[hit] = np.int64(exact)
            hit += number >= cut
    return hit


@njit(Written(Records, *Layout, types.int64, types.boolean, types.boolean, *Rule, *Room), cache=True, nogil=True)
def take_whole(words, rows, columns, row_bytes, size, big, signed, cut, pedestal, units, most, left, kept, counted, events):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201, E501 # fmt: skip
    """Write the events of frames of whole numbers, of which zero is no electron; `big`: of the big-endian order."""
    held = np.empty(rows * row_bytes // 8 + 1, dtype=np.uint64)
    begins = np.empty(len(held), dtype=np.int64)
    pixel, electrons = np.empty(rows * columns + 1, dtype=np.int64), np.empty(rows * columns + 1, dtype=np.int64)
    written = np.int64(0)
    for frame in range(words.shape[0]):
        found = _hold(words, frame, rows, columns, row_bytes, size, held, begins)
        hit = _part(held, begins, found, size, big, signed, cut, pedestal, units, most, pixel, electrons)
        if hit < 0:
            return events, IMPOSSIBLE
        total = electrons[:hit].sum()
        counted[frame] = total
        if kept[frame]:
            if written + total > left:
                return events, TOO_MANY
            events = _with_room(events, written, total)
            written = _write(events, written, pixel, electrons, hit)
    return events, written


@njit(
    [
        types.int64(
            types.Array(kind, 2, "C"),
            types.Array(kind, 1, "C"),
            types.int64,
            *Layout,
            *Rule,
            types.int64,
            Counted,
            Counted,
        )
        for kind in (types.float32, types.float64)
    ],
    cache=True,
    nogil=True,
)
def _hold_floats(pixels, levels, frame, rows, columns, row_bytes, cut, pedestal, units, most, pixel, electrons):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202 # fmt: skip
    """List the pixels of a frame that hold electrons, and how many; return their number, or `IMPOSSIBLE`."""
    stride, level, lowest, hit = row_bytes // pixels.itemsize, levels[0], levels[1], 0
    for row in range(rows):
        begin, place, found = row * stride, row * columns, hit
        for group in range(0, columns, GROUP):
            count = min(GROUP, columns - group)
            if count == GROUP:
                below = 0
                for at in range(GROUP):  # as in `_hold`
                    value = pixels[frame, begin + group + at]
                    below += (value < level) & (value >= lowest)
                if below == GROUP:
                    continue
            for at in range(count):
                value = pixels[frame, begin + group + at]
                pixel[found] = group + at
                found += not ((value < level) & (value >= lowest))
        for index in range(hit, found):
            column = pixel[index]
            number = np.float64(pixels[frame, begin + column])
            exact = np.floor((number - pedestal) / units + 0.5)
            below_cut = number < cut and number >= lowest
            if not below_cut and not (exact >= 0 and exact <= most):
                return IMPOSSIBLE
            pixel[hit] = place + column
            electrons[hit] = 0 if below_cut else np.int64(exact)
            hit += not below_cut
    return hit


@njit(
    [
        Written(types.Array(kind, 2, "C"), types.Array(kind, 1, "C"), *Layout, *Rule, *Room)
        for kind in (types.float32, types.float64)
    ],
    cache=True,
    nogil=True,
)
def take_floats(pixels, levels, rows, columns, row_bytes, cut, pedestal, units, most, left, kept, counted, events):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201 # fmt: skip
    """Write the events of frames of floating-point numbers, of the byte order of this machine.

    ``levels``: `cut` and the lowest finite number, in the type of the pixels.
    """
    pixel, electrons = np.empty(rows * columns + 1, dtype=np.int64), np.empty(rows * columns + 1, dtype=np.int64)
    written = np.int64(0)
    for frame in range(pixels.shape[0]):
        hit = _hold_floats(
            pixels, levels, frame, rows, columns, row_bytes, cut, pedestal, units, most, pixel, electrons
        )
        if hit < 0:
            return events, IMPOSSIBLE
        total = electrons[:hit].sum()
        counted[frame] = total
        if kept[frame]:
            if written + total > left:
                return events, TOO_MANY
            events = _with_room(events, written, total)
            written = _write(events, written, pixel, electrons, hit)
    return events, written
