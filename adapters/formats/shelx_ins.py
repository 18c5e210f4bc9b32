"""Reading SHELX instruction and result files (.ins, .res)."""

import math
import re
from pathlib import Path
from typing import NamedTuple

import gemmi

from tasks.model import SourceError, UnitCell, Vector

KNOWN_TEXT = """
ABIN ACTA AFIX ANIS ANSC ANSR BASF BIND BLOC BOND BUMP CELL CGLS CHIV CONF CONN DAMP DANG DEFS DELU DFIX DISP EADP
END EQIV EXTI EXYZ FEND FLAT FMAP FRAG FREE FVAR GRID HFIX HKLF HTAB ISOR LATT LAUE LIST L.S. MERG MORE MOVE MPLA
NCSY NEUT OMIT PART PLAN PRIG RESI RIGU RTAB SADI SAME SFAC SHEL SIMU SIZE SPEC STIR SUMP SWAT SYMM TEMP TITL TWIN
TWST UNIT WGHT WIGL WPDB XNPD ZERR REM PATT ESEL TREF NTRY FIND MIND SKIP SEED PATS WEED TEST
"""
KNOWN = frozenset(KNOWN_TEXT.split())
"""Instructions of SHELXL-2018 and of the solving programs; any other word of up to four characters is an atom."""

LATTICES = {1: "P", 2: "I", 3: "R", 4: "F", 5: "A", 6: "B", 7: "C"}


class ShelxAtom(NamedTuple):
    """One atom line; free-variable codes are resolved, occupancy is SHELX's (site multiplicity included)."""

    name: str
    element: str
    position: Vector
    occupancy: float
    u: tuple[float, ...]
    """U iso, or U11 U22 U33 U23 U13 U12, angstrom^2; negative: a multiple of the carrier's."""
    peak: float | None = None
    """Height of a Q peak."""
    part: int = 0
    """Of a disorder: 0 is there always."""


class ShelxFile(NamedTuple):
    """What a .ins or .res file says."""

    title: str
    wavelength_angstrom: float
    unit_cell: UnitCell
    cell_esd: tuple[float, ...]
    z: float
    lattice: int
    """LATT: negative if not centrosymmetric."""
    symmetry: tuple[str, ...]
    elements: tuple[str, ...]
    scattering: tuple[tuple[float, ...] | None, ...]
    """The numbers of a 14-value SFAC line, or None for the tabulated X-ray factor."""
    unit: tuple[float, ...]
    free_variables: tuple[float, ...]
    weights: tuple[float, ...]
    atoms: tuple[ShelxAtom, ...]
    peaks: tuple[ShelxAtom, ...]
    remarks: tuple[str, ...]
    hklf: tuple[float, ...] = ()
    """Numbers of the HKLF instruction: form, scale, nine elements of a matrix on the indices; as many as are given."""
    twin: tuple[float, ...] = ()
    """Nine elements of the matrix of TWIN, by rows, and the number of components; the inversion without a matrix."""
    basf: tuple[float, ...] = ()
    """Fractions of the components beside the first."""

    def operations(self) -> gemmi.GroupOps:
        """Return all symmetry operations, centring included."""
        group = gemmi.GroupOps([gemmi.Op(text) for text in ("x,y,z", *self.symmetry)])
        group.add_missing_elements()
        if self.lattice > 0:
            inversion = gemmi.GroupOps([*group.sym_ops, gemmi.Op("-x,-y,-z")])
            inversion.add_missing_elements()
            group = inversion
        letter = LATTICES[abs(self.lattice)]
        template = next(g for g in gemmi.spacegroup_table() if g.centring_type() == letter)
        shifts = [list(map(int, shift)) for shift in template.operations().cen_ops]
        return gemmi.GroupOps([op.translated(shift).wrap() for op in group.sym_ops for shift in shifts])


def read_shelx(path: Path, *, bare: bool = False) -> ShelxFile:
    """Read a file; a `bare` one describes data and need not name elements.

    Raises
    ------
    SourceError
        Naming the file and what is missing or wrong.
    """
    if not path.is_file():
        raise SourceError(f"{path}: there is no such file")
    return parse_shelx(path.read_text(encoding="utf-8", errors="replace"), str(path), bare=bare)


def parse_shelx(text: str, name: str, *, bare: bool = False) -> ShelxFile:
    """Read the text of a file: continuation lines joined, comments dropped, atoms after END are peaks.

    Raises
    ------
    SourceError
    """
    reader = _Reader(name)
    for number, line in _logical_lines(text):
        try:
            reader.take(line)
        except (ValueError, IndexError) as error:
            raise SourceError(f"{name}, line {number}: {line[:60]!r}: {error}") from error
    return reader.result(bare=bare)


def _logical_lines(text: str) -> list[tuple[int, str]]:
    lines: list[tuple[int, str]] = []
    pending = ""
    start = 0
    for number, raw in enumerate(text.splitlines(), 1):
        if raw[:4].upper() == "REM ":
            lines.append((number, raw))
            continue
        line = raw.split("!", 1)[0].rstrip()
        start = start if pending else number
        if line.endswith("="):
            pending += line[:-1] + " "
            continue
        if pending or (line.strip() and (not line.startswith(" ") or number == 1)):
            lines.append((start, pending + line))
        pending = ""
    return lines


class _Reader:
    """Collects the instructions of one file."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.title = ""
        self.cell: list[float] = []
        self.esd: list[float] = []
        self.z = 1.0
        self.lattice = 1
        self.symmetry: list[str] = []
        self.elements: list[str] = []
        self.scattering: list[tuple[float, ...] | None] = []
        self.unit: list[float] = []
        self.variables: list[float] = []
        self.weights: list[float] = []
        self.atoms: list[ShelxAtom] = []
        self.peaks: list[ShelxAtom] = []
        self.remarks: list[str] = []
        self.hklf: list[float] = []
        self.twin: tuple[float, ...] = ()
        self.basf: list[float] = []
        self.part = 0
        self.ended = False

    def take(self, line: str) -> None:  # noqa: C901, PLR0912 - one case an instruction
        """Read one instruction or atom."""
        words = line.split()
        keyword = words[0].upper().split("_", 1)[0][:4]
        rest = words[1:]
        match keyword:
            case "TITL":
                self.title = line[4:].strip()
            case "REM":
                self.remarks.append(line[3:].strip())
            case "CELL":
                self.cell = [float(x) for x in rest[:7]]
            case "ZERR":
                self.z, self.esd = float(rest[0]), [float(x) for x in rest[1:7]]
            case "LATT":
                self.lattice = int(rest[0])
            case "SYMM":
                self.symmetry.append("".join(rest).lower().replace(";", ","))
            case "SFAC":
                self._scattering(rest)
            case "UNIT":
                self.unit = [float(x) for x in rest]
            case "FVAR":
                self.variables += [float(x) for x in rest]
            case "PART":
                self.part = int(rest[0]) if rest else 0
            case "WGHT" if not self.ended:
                self.weights = [float(x) for x in rest]
            case "TWIN" if not self.ended:
                self.twin = _twin([_finite(x) for x in rest])
            case "BASF" if not self.ended:
                self.basf += [self._resolved(_finite(x)) for x in rest]
            case "HKLF":
                self.ended = True
                self.hklf = [_finite(x) for x in rest]
            case "END":
                self.ended = True
            case _ if keyword not in KNOWN:
                self._atom(words)

    def _scattering(self, rest: list[str]) -> None:
        if len(rest) > 1 and re.fullmatch(r"[-+.\d].*", rest[1]):
            numbers = tuple(float(x) for x in rest[1:])
            if len(numbers) != 14:
                raise ValueError(f"a numeric SFAC line has 14 values, not {len(numbers)}")
            self.elements.append(_element(rest[0]))
            self.scattering.append(numbers)
            return
        for word in rest:
            self.elements.append(_element(word))
            self.scattering.append(None)

    def _atom(self, words: list[str]) -> None:
        if len(words) < 5:
            return
        kind = int(words[1])
        if not 1 <= kind <= len(self.elements):
            raise ValueError(f"there is no SFAC number {kind}")
        numbers = [float(x) for x in words[2:]]
        x, y, z = (self._resolved(v) for v in numbers[:3])
        occupancy = self._resolved(numbers[3]) if len(numbers) > 3 else 1.0
        is_peak = re.fullmatch(r"Q\d+", words[0], re.IGNORECASE) is not None
        u = tuple(v if -5 < v < 0 else self._resolved(v) for v in numbers[4 : 5 if len(numbers) < 10 else 10])
        atom = ShelxAtom(
            words[0],
            "Q" if is_peak else self.elements[kind - 1],
            (x, y, z),
            occupancy,
            u or (0.05,),
            numbers[5] if is_peak and len(numbers) > 5 else None,
            0 if is_peak else self.part,
        )
        (self.peaks if is_peak else self.atoms).append(atom)

    def _resolved(self, value: float) -> float:
        """Return a parameter without SHELX's code: 10 + p fixed, 10 m + p times free variable m, negative 1 - it."""
        if abs(value) < 5:
            return value
        m = int((abs(value) + 5) // 10)
        p = abs(value) - 10 * m
        if m == 1:
            return p if value > 0 else -p
        variable = self.variables[m - 1] if m <= len(self.variables) else 1.0
        return p * variable if value > 0 else p * (1.0 - variable)

    def result(self, *, bare: bool) -> ShelxFile:
        """Return the file, checked for what it cannot do without; a bare one may describe data and no structure."""
        if len(self.cell) != 7:
            raise SourceError(f"{self.name}: has no complete CELL line")
        if not self.elements and not bare:
            raise SourceError(f"{self.name}: has no SFAC line")
        if abs(self.lattice) not in LATTICES:
            raise SourceError(f"{self.name}: LATT {self.lattice} does not exist")
        wavelength, a, b, c, alpha, beta, gamma = self.cell
        try:
            cell = UnitCell.of((a, b, c, alpha, beta, gamma))
        except ValueError as error:
            raise SourceError(f"{self.name}: the unit cell {self.cell[1:]} of CELL is impossible") from error
        return ShelxFile(
            self.title,
            wavelength,
            cell,
            tuple(self.esd),
            self.z,
            self.lattice,
            tuple(self.symmetry),
            tuple(self.elements),
            tuple(self.scattering),
            tuple(self.unit),
            tuple(self.variables),
            tuple(self.weights),
            tuple(self.atoms),
            tuple(self.peaks),
            tuple(self.remarks),
            tuple(self.hklf),
            self.twin,
            tuple(self.basf),
        )


def _twin(numbers: list[float]) -> tuple[float, ...]:
    """Return the matrix of TWIN and the number of components; without a matrix it is the inversion, of two."""
    if len(numbers) not in {0, 1, 9, 10}:
        raise ValueError(f"TWIN has nine elements of a matrix and a number of components, not {len(numbers)} numbers")
    matrix = numbers[:9] if len(numbers) >= 9 else [-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, -1.0]
    return (*matrix, numbers[-1] if len(numbers) in {1, 10} else 2.0)


def _finite(word: str) -> float:
    value = float(word)
    if not math.isfinite(value):
        raise ValueError(f"{word} is no number that can be used")
    return value


def _element(word: str) -> str:
    symbol = re.sub(r"[^A-Za-z]", "", word).capitalize()
    if gemmi.Element(symbol).atomic_number == 0:
        raise ValueError(f"{word!r} is no element")
    return symbol
