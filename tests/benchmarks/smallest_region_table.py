"""The table, the sentences and the plots of `tests.benchmarks.smallest_region`, from its lines."""

import itertools
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

Row = dict[str, Any]
CONDITION = ("structure", "size_nm", "dose", "model", "kind")
HEAD = (
    "| structure | nm | electrons a position | of | whole ones solved | smallest solved: positions | electrons "
    "| unit cells | unsolved below it: electrons | CC / allowed | d_min / allowed (A) "
    "| counts would need | wrong called solved |"
)

ELECTRONS = (3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
"""Of a region at all tilts: where the share that is solved is stated."""


class Nest(NamedTuple):
    """One crystal, or one patchwork: its ``whole`` and, if there are any, the ``smallest`` that is solved and the
    largest ``unsolved`` one below it; ``tried``: all its regions, from small to large.
    """

    whole: Row
    smallest: Row | None
    unsolved: Row | None
    tried: tuple[Row, ...]


def nests(rows: list[Row]) -> dict[tuple[Any, ...], list[Nest]]:
    """Return what each crystal and patchwork came to, by condition."""
    members: dict[tuple[Any, ...], dict[int, Row]] = defaultdict(dict)
    for row in rows:  # a series that was stopped leaves rows that come again
        members[(*(row[name] for name in CONDITION), row["seed"], row["crystals"], row["crystal"])][
            row["positions"]
        ] = row
    found = defaultdict(list)
    for key, several in members.items():
        ordered = [several[positions] for positions in sorted(several)]
        whole = next((row for row in ordered if row["whole"]), None)
        if whole is None:
            continue  # interrupted
        smallest = next((row for row in ordered if row["solved"]), None) if whole["solved"] else None
        below = [row for row in ordered if smallest is not None and row["positions"] < smallest["positions"]]
        found[key[: len(CONDITION)]].append(Nest(whole, smallest, below[-1] if below else None, tuple(ordered)))
    return dict(sorted(found.items(), key=lambda one: (one[0][0], one[0][1], -one[0][2], *one[0][3:])))


def table(rows: list[Row]) -> str:
    """Return a row for each condition, medians and ranges over its crystals, then shares and a sentence for each."""
    lines = [HEAD, f"{'|---' * HEAD.count(' |')}|"]
    found = nests(rows)
    for condition, several in found.items():
        structure, size, dose, model, kind = condition
        solved = [nest.smallest for nest in several if nest.smallest is not None]
        unsolved = [nest.unsolved for nest in several if nest.unsolved is not None]
        cells = [
            _name(structure, model),
            f"{size:g}",
            f"{dose:g}",
            _kind(kind),
            f"{sum(nest.whole['solved'] for nest in several)} of {len(several)}",
            _range(solved, "positions"),
            _range(solved, "electrons"),
            _range(solved, "unit_cells"),
            _range(unsolved, "electrons"),
            f"{_middle(solved, 'correlation'):.3f} / {_middle(solved, 'allowed'):.3f}",
            f"{_middle(solved, 'd_min'):.2f} / {_middle(solved, 'd_min_allowed'):.2f}",
            f"{100 * _middle(solved, 'share_needed'):.0f} %",
            str(sum(row["false"] for nest in several for row in nest.tried)),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", *shares(found), "", *every_region(found), "", *sentences(found)])


def shares(found: dict[tuple[Any, ...], list[Nest]]) -> list[str]:
    """Return the plot as a table: how many of each condition's crystals and patchworks so many electrons solve.

    Those whose smallest solved region has no more: whatever holds it is taken for solved, too.
    """
    most = " | ".join(f"{number:,}" for number in ELECTRONS)
    lines = [f"| solved with so many electrons: structure | nm | a position | of | {most} |"]
    lines.append("|---" * (4 + len(ELECTRONS)) + "|")
    for (structure, size, dose, _model, kind), several in found.items():
        needed = [nest.smallest["electrons"] for nest in several if nest.smallest is not None]
        cells = [f"{sum(one <= most for one in needed)} of {len(several)}" for most in ELECTRONS]
        lines.append(f"| {structure} | {size:g} | {dose:g} | {_kind(kind)} | {' | '.join(cells)} |")
    return lines


def every_region(found: dict[tuple[Any, ...], list[Nest]]) -> list[str]:
    """Return a row for each crystal and patchwork: which of its regions solve, and which do not, with their R1."""
    lines = [
        "| every region: structure | nm | a position | of | seed | solved: positions (R1) | not solved |",
        "|---" * 7 + "|",
    ]
    for (structure, size, dose, _model, kind), several in found.items():
        for nest in several:
            told = [
                ", ".join(
                    f"{row['positions']} ({'-' if row.get('r1') is None else format(row['r1'], '.3f')})"
                    for row in nest.tried
                    if row["solved"] == solved
                )
                for solved in (True, False)
            ]
            cells = [
                structure,
                f"{size:g}",
                f"{dose:g}",
                _kind(kind),
                str(nest.whole["seed"]),
                *(one or "-" for one in told),
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def sentences(found: dict[tuple[Any, ...], list[Nest]]) -> list[str]:
    """Return what region of a single crystal has the fewest unit cells, by structure, where most of its kind solve."""
    said = []
    for structure in dict.fromkeys(condition[0] for condition in found):
        best: list[Row] = []
        for condition, several in found.items():
            solved = [nest.smallest for nest in several if nest.smallest is not None]
            mine = condition[0] == structure and condition[-1] == "crystal" and 2 * len(solved) > len(several)
            if mine and (not best or _middle(solved, "unit_cells") < _middle(best, "unit_cells")):
                best = solved
        if best:
            crystals = "1 crystal" if len(best) == 1 else f"{len(best)} crystals"
            said.append(
                f"The smallest region that solves {structure} here is {_range(best, 'positions')} "
                f"position{'' if _range(best, 'positions') == '1' else 's'}, "
                f"{_range(best, 'unit_cells')} unit cells, {_range(best, 'electrons')} electrons: {crystals} of "
                f"{best[0]['size_nm']:g} nm at {best[0]['dose']:g} electrons a position."
            )
    return said


def draw(rows: list[Row], folder: Path) -> None:
    """Draw the share solved by electrons, and the correlation beside what the counts allow."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    looks = Looks(rows)
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 5.5))
    for condition, several in nests(rows).items():
        needed = sorted(nest.smallest["electrons"] for nest in several if nest.smallest is not None)
        if needed:
            share = np.arange(1, len(needed) + 1) / len(several)
            look = looks.of_condition(condition)
            left.step(
                [needed[0], *needed, ELECTRONS[-1]], [0, *share, share[-1]], where="post", **look | {"marker": ""}
            )
            left.plot(needed, share, **look | {"linestyle": ""})
    left.set(xscale="log", ylim=(0, 1.05), xlabel="electrons of a region at all tilts", ylabel="share solved")
    for name, colour in looks.colours.items():
        known = [
            row for row in rows if _name(row["structure"], row["model"]) == name and row.get("allowed") is not None
        ]
        right.plot([1 - row["allowed"] for row in known], [1 - row["correlation"] for row in known], "o", color=colour)
    right.axline((1e-3, 1e-3), slope=1, color="0.6")
    right.set(xscale="log", yscale="log", xlabel="1 - CC that the counts allow", ylabel="1 - CC with the truth")
    figure.legend(handles=looks.legend(), loc="lower center", ncols=6, fontsize=8)
    figure.tight_layout(rect=(0, 0.1, 1, 1))
    figure.savefig(folder / "smallest-region.png", dpi=150)
    plt.close(figure)


class Looks:
    """How conditions are drawn, each in its own way: colour by structure, line by dose, marker by size; open markers
    for patchworks.
    """

    def __init__(self, rows: list[Row]) -> None:
        names = [_name(row["structure"], row["model"]) for row in rows]
        self.colours = _dealt(names, [f"C{number}" for number in range(10)])
        self.lines = _dealt([row["dose"] for row in rows], ["-", "--", ":", "-."])
        self.markers = _dealt([row["size_nm"] for row in rows], ["o", "s", "^", "D", "v"])
        self.kinds = {
            kind: {"crystal": "full"}.get(kind, "none") for kind in dict.fromkeys(row["kind"] for row in rows)
        }

    def of_condition(self, condition: tuple[Any, ...]) -> dict[str, Any]:
        """Return what matplotlib is told of a line."""
        structure, size, dose, model, kind = condition
        return {
            "color": self.colours[_name(structure, model)],
            "linestyle": self.lines[dose],
            "marker": self.markers[size],
            "fillstyle": self.kinds[kind],
        }

    def legend(self) -> list[Any]:
        """Return an entry for each look."""
        from matplotlib.lines import Line2D

        plain = {"color": "0.3", "linestyle": ""}
        return [
            *(Line2D([], [], color=colour, label=name) for name, colour in self.colours.items()),
            *(Line2D([], [], color="0.3", linestyle=line, label=f"{d:g} e") for d, line in self.lines.items()),
            *(Line2D([], [], **plain, marker=marker, label=f"{nm:g} nm") for nm, marker in self.markers.items()),
            *(
                Line2D([], [], **plain, marker="h", fillstyle=fill, label=_kind(kind))
                for kind, fill in self.kinds.items()
            ),
        ]


def _dealt(values: list[Any], looks: list[str]) -> dict[Any, str]:
    """Return a look for each value, in the order of the values."""
    return dict(zip(sorted(set(values)), itertools.cycle(looks), strict=False))


def _name(structure: str, model: str) -> str:
    return structure if model == "kinematical" else f"{structure}, {model}"


def _kind(kind: str) -> str:
    return kind if kind == "crystal" else "2 crystals"


def _middle(rows: list[Row], name: str) -> float:
    values = [row[name] for row in rows if row.get(name) is not None]
    return float(np.median(values)) if values else float("nan")


def _range(rows: list[Row], name: str) -> str:
    """Return the median, and the extremes where they differ."""
    values = [row[name] for row in rows if row.get(name) is not None]
    if not values:
        return "-"
    low, middle, high = min(values), float(np.median(values)), max(values)
    return f"{middle:,.0f}" if low == high else f"{middle:,.0f} ({low:,.0f} to {high:,.0f})"
