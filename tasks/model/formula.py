"""Reading a chemical formula as people and files write it: brackets, hydrates, charges, isotopes, lower case.

What can be read in two ways that mean different contents is refused with both readings; nothing is guessed. Sources:
IUPAC's red book (2005), IR-4, for brackets, charges and addition compounds; the core dictionary of CIF for
`_chemical_formula_moiety`, whose charges stand apart: ``Cl O4 1-``.
"""

import re
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice

import gemmi

from tasks.model.errors import InputError

ADVICE = 'write it like "C19 H22 N2 O", with parts like "C2 H5 N O2 . 0.5(H2O)"'
HYDROGENS = {"D": "H"}
"""Isotopes with symbols of their own: electrons and X-rays see the element. T is not taken: in zeolites it stands for
Si or Al."""
SYMBOL = "[A-Z][a-z]?"
TOKEN = re.compile(rf"(\d+/\d+|\d+\.?\d*|\.\d+)|({SYMBOL})|(.)")
SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻"
ASCII_OF_SUPERSCRIPTS = str.maketrans(SUPERSCRIPTS, "0123456789+-")
ONE_CHARACTER = {"½": "1/2", "¼": "1/4", "¾": "3/4", "⅓": "1/3", "⅔": "2/3", "−": "-", "–": "-"}
DOTS = "·•∙⋅*"
PAIRS = {"(": ")", "[": "]", "{": "}"}
PART = ";"
"""Between the parts of a formula, once it is told which dots are decimal ones."""
LONGEST = 1000
"""Characters; as many as a manifest may hold. Chosen, not measured: a complex with its solvents has 200."""
DEEPEST = 20
"""Brackets within brackets. Chosen, not measured: complexes have three or four."""
LETTERS_OF_A_RUN = 4
"""Letters on end that are read whatever their case, as in nacl or SiO. Longer ones are words, and even among these
only runs in a formula with numbers are: "iron" is not Ir O N."""
READINGS_SHOWN = 3
"""Readings of letters in the wrong case that an error lists. Chosen, not measured: a line."""
MASS_TOLERANCE = 2.5, 0.08
"""Of a mass number: units, and part of the mean mass, that isotopes may lie off: 3H, 14C and 129I do by 2.0, 2.0 and
2.1, 90Sr by 2.4. It tells isotopes in brackets from numbers of formula units."""


def read_formula(text: str) -> dict[str, float]:
    """Return how many atoms of each element a formula states, in the order of their first mention.

    Understood are brackets of any kind; parts joined by a dot, a comma or an asterisk with a number before each
    (decimal or 1/2); charges (``N1+``, ``NH4+``, ``[Zn(NH3)4]2+``, ``Cl O4 1-``, ``SO4^2-``); D and T, isotopes in
    brackets or as superscripts; sub- and superscript characters; letters in one case where they leave no choice.

    Raises
    ------
    InputError
        Naming the part that is not understood, or that can be read in two ways, with the readings.
    """
    if len(text) > LONGEST:
        raise InputError(f"composition: {len(text)} characters are no formula", ADVICE)
    try:
        plain = _plain(text)
        parts = _divided(_without_charges(_without_isotopes(_in_case(plain))))
        found = _FormulaReader(parts).contents()
    except ValueError as error:
        raise InputError(f"composition {text!r}: {error}", ADVICE) from None
    for symbol, count in found.items():
        if not count > 0:
            raise InputError(
                f"composition {text!r}: {symbol} has the count 0", "give a positive number, or leave it out"
            )
    return dict(found)


def _plain(text: str) -> str:
    """Return the formula in ASCII: subscripts as numbers, superscripts behind a caret, dots of all kinds as one."""
    for character, meant in ONE_CHARACTER.items():
        text = text.replace(character, meant)
    text = re.sub(rf"[{SUPERSCRIPTS}]+", lambda found: "^" + found.group().translate(ASCII_OF_SUPERSCRIPTS), text)
    text = re.sub(r"_\{?(\d+\.?\d*)\}?|~(\d+\.?\d*)~", r"\1\2", text.translate(SUBSCRIPTS))
    text = re.sub(r"\^\{?([0-9+-]+)\}?\^?", r"^\1", text)
    text = re.sub(rf"[{DOTS}]| \+ ", " . ", text)
    text = re.sub(r"([)\]}])n$", r"\1", text.strip())  # a polymer: contents in any multiple
    return re.sub(r"\s+", " ", text).strip(" ;")


def _in_case(plain: str) -> str:
    """Return the formula with symbols in their own case; refuse letters that could be several elements."""
    runs = re.findall("[A-Za-z]+", plain)
    wrong = [run for run in runs if not _are_symbols(run)]
    if not wrong:
        return plain
    lenient = (
        re.search(r"\d", plain) and (plain.isupper() or plain.islower()) and len(max(runs, key=len)) <= LETTERS_OF_A_RUN
    )
    for run in wrong:
        readings = [" ".join(reading) for reading in islice(_readings(run), READINGS_SHOWN)]
        if not readings:
            raise ValueError(_unknown_in(run))
        if len(readings) > 1 or not lenient:
            shown = " or ".join(repr(reading) for reading in readings)
            raise ValueError(f"{run!r} is not written in symbols of elements: is {shown} meant?")
    return re.sub(
        "[A-Za-z]+",
        lambda found: found.group() if _are_symbols(found.group()) else "".join(next(_readings(found.group()))),
        plain,
    )


def _are_symbols(run: str) -> bool:
    return re.fullmatch(f"(?:{SYMBOL})+", run) is not None and all(map(_element, re.findall(SYMBOL, run)))


def _element(symbol: str) -> str | None:
    """Return the element of a symbol in its own case; None if there is none."""
    found = gemmi.Element(HYDROGENS.get(symbol, symbol))
    return None if found.atomic_number == 0 else str(found.name)


def _readings(run: str) -> Iterator[tuple[str, ...]]:
    """Yield every way to divide letters of any case into symbols, long symbols first."""
    if not run:
        yield ()
        return
    for size in (2, 1):
        symbol = run[:size].capitalize()
        if len(symbol) == size and _element(symbol) is not None:
            yield from ((symbol, *rest) for rest in _readings(run[size:]))


def _unknown_in(run: str) -> str:
    for symbol in re.findall(f"{SYMBOL}|[a-z]", run):
        if symbol in {"x", "y", "n"}:
            return f"{symbol!r} stands for a number that must be given"
        if _element(symbol) is None:
            return f"{symbol!r} is not an element"
    return f"{run!r} is not made of symbols of elements"


def _without_isotopes(text: str) -> str:
    """Return the formula with elements in place of ``[13C]``, ``(2H)`` and ``^13^C``."""
    text = re.sub(rf"\^\d+(?={SYMBOL})", "", text)

    def element(found: re.Match[str]) -> str:
        number, symbol = int(found.group(1)), found.group(2)
        weight = gemmi.Element(HYDROGENS.get(symbol, symbol)).weight
        units, part = MASS_TOLERANCE
        return symbol if abs(number - weight) <= max(units, part * weight) else found.group()

    return re.sub(rf"[(\[{{](\d{{1,3}})({SYMBOL})[)\]}}]", element, text)


def _without_charges(text: str) -> str:
    """Return the formula without its charges; refuse those whose digits could be a number of atoms."""
    text = re.sub(r"\^\d*[+-]\d*", " ", text)  # SO4^2-
    text = re.sub(r"(?<= )(?:\d*[+-]|[+-]\d+)(?=$|[ ,)\]}.])", "", text)  # Cl O4 1-
    text = re.sub(r"\](?:\d*[+-]|[+-]\d+)(?![\dA-Za-z])", "]", text)  # [Zn(NH3)4]2+
    text = re.sub(r"(^|[ ,])(\([^()]*\))\d[+-](?=$|[ ,.])", r"\1\2", text)  # (SO4)2-
    ions = re.fullmatch(rf"(?:{SYMBOL}\d*[+-] ?){{2,}}", text) is not None
    found = []
    begin = 0
    for sign in re.finditer(rf"({SYMBOL}|[)\]}}])(\d*)[+-](?!\d)", text):
        before = text[sign.start() - 1 : sign.start()]
        alone = before in {"", " ", ",", ".", "(", "[", "{", "+", "-"} and sign.group(1) not in PAIRS.values()
        found.append(text[begin : sign.start()] + _uncharged(sign, alone=alone, ions=ions))
        begin = sign.end()
    text = "".join(found) + text[begin:]
    if stray := re.search(r"[+-]\S*", text):
        raise ValueError(f"{stray.group()!r} is neither a charge nor a part of a formula")
    return re.sub(" +", " ", text).strip()


def _uncharged(sign: re.Match[str], *, alone: bool, ions: bool) -> str:
    """Return what stands before a sign without the digits of its charge."""
    atom, digits = sign.group(1), sign.group(2)
    if len(digits) < 1 or (digits == "1" and alone):
        return f"{atom} "
    if not alone and len(digits) == 1:
        return f"{atom}{digits} "  # NH4+, NH3+CH2COO-
    if alone and len(digits) == 1 and (ions or gemmi.Element(atom).is_metal):
        return f"{atom} "  # Ca2+
    counted, charged = f"{atom}{digits} {sign.group()[-1]}", f"{atom}{digits[:-1]} {sign.group()[-2:]}"
    raise ValueError(f"{sign.group()!r} can be read as {counted!r} and {charged!r}: write the charge apart, as here")


def _divided(text: str) -> str:
    """Return the formula with its parts divided by semicolons, so that every dot left is a decimal one."""
    text = re.sub(r"(?<![\d,])0,(?=\d)", "0.", text)
    if comma := re.search(r"\S*\d,\d\S*", text):
        raise ValueError(
            f"{comma.group()!r}: a comma between digits can be decimal or divide parts: write a dot or a space"
        )
    text = re.sub(r" ?, ?| \.(?: |$)|\.(?: |$)", PART, text)
    text = re.sub(r"(\d)\.(0\.\d)", rf"\1{PART}\2", text)  # O6.0.5H2O
    return re.sub(r"\.", lambda dot: PART if _divides(text, dot.start()) else ".", text)


def _divides(text: str, at: int) -> bool:
    """Tell whether a dot with a digit behind it divides parts; refuse one that may be decimal as well."""
    before, number = text[:at], re.match(r"\d*", text[at + 1 :]).group()  # type: ignore[union-attr] # it always matches
    rest = text[at + 1 + len(number) :]
    if not number:
        return True
    if re.search(rf"(?:^|[{PART}([{{]) ?\d*$| \d+$|{SYMBOL}0$", before):
        return False  # a number of formula units, or 0.2 of an element
    molecule = len(set(re.findall(SYMBOL, re.split(rf"[.{PART}]", rest)[0]))) > 1
    attached = re.match(r"[A-Z([{]", rest) is not None
    if not molecule or (before[-1].isdigit() and (not attached or number.startswith("0"))):
        return False
    if attached and not before[-1].isdigit() and before[-1] != " ":
        return True
    last = re.search(r"[A-Za-z)\]}]*\d*$", before.strip()).group()  # type: ignore[union-attr]
    raise ValueError(
        f"{last + '.' + number + rest!r} can be read as {last + '.' + number + ' ' + rest!r} "
        f"and {last + ' . ' + number + rest!r}: write it with the spaces that are meant"
    )


class _FormulaReader:
    """Sums the parts of a formula in which only letters, brackets, numbers, spaces and semicolons are left."""

    def __init__(self, text: str) -> None:
        self._tokens = [found.group() for found in TOKEN.finditer(text)]
        self._at = 0

    def contents(self, closing: str = "", depth: int = 0) -> Counter[str]:
        """Return the sum of all parts up to a closing bracket, or to the end."""
        if depth > DEEPEST:
            raise ValueError(f"more than {DEEPEST} brackets within brackets")
        total = self._part(depth)
        while self._peek() == PART:
            self._at += 1
            total = _sum(total, self._part(depth), 1.0)
        if _is_number(self._peek()):
            raise ValueError(f"{self._peek() + self._peek(1)!r} behind a space: divide parts by a dot, ' . '")
        if self._peek() != closing:
            raise ValueError(f"{self._peek()!r} has no place there" if self._peek() else f"{closing!r} is missing")
        self._at += 1
        return total

    def _part(self, depth: int) -> Counter[str]:
        self._skip_space()
        factor = self._number() if _is_number(self._peek()) else 1.0
        total: Counter[str] = Counter()
        self._skip_space()
        while (token := self._peek()) and (token in PAIRS or _element(token)):
            self._at += 1
            unit = self.contents(PAIRS[token], depth + 1) if token in PAIRS else Counter({str(_element(token)): 1.0})
            total = _sum(total, unit, self._count())
            self._skip_space()
        if not total:
            raise ValueError(f"{self._peek()!r} has no place there" if self._peek() else "a part of it is empty")
        return _sum(Counter(), total, factor)

    def _count(self) -> float:
        """Return the number behind an element or a bracket; a space may stand between."""
        space = self._peek() == " " and _is_number(self._peek(1))
        if space and re.match(r"[A-Z([{]", self._peek(2)):
            raise ValueError(f"{self._peek(1) + self._peek(2)!r} behind a space: divide parts by a dot, ' . '")
        self._at += space
        return self._number() if _is_number(self._peek()) else 1.0

    def _number(self) -> float:
        token = self._peek()
        self._at += 1
        if token.endswith("/0"):
            raise ValueError(f"{token!r} is no number")
        return float(Fraction(token.rstrip(".")))

    def _peek(self, ahead: int = 0) -> str:
        return self._tokens[self._at + ahead] if self._at + ahead < len(self._tokens) else ""

    def _skip_space(self) -> None:
        self._at += self._peek() == " "


def _is_number(token: str) -> bool:
    return token[:1].isdigit() or (token[:1] == "." and token[1:].isdigit())


def _sum(total: Counter[str], more: Counter[str], factor: float) -> Counter[str]:
    names = dict.fromkeys([*total, *more])  # sums over elements run in this order, and their last digit follows it
    return Counter({name: total[name] + factor * more[name] for name in names})
