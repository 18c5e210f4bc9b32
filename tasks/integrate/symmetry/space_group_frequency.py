"""How common space groups are, in coarse classes."""

import math

_NUMBERS: dict[float, str] = {
    10.0: "2 14",
    3.0: "4 15 19 61 62 225 227 194 166 139 221",
    1.0: "1 5 9 11 12 29 33 60 63 148 167 123 129 216 229 205 230 206 176 189",
    0.3: "7 13 18 20 43 52 54 55 56 58 64 71 72 82 85 86 87 88 92 96 114 127 136 140 141 142 122 146 147 155 "
    "160 161 163 164 165 173 186 187 191 193 198 199 217 218 220 223 152 154",
    0.1: "3 8 10 21 23 31 34 36 41 45 47 51 53 57 59 65 66 68 69 70 74 76 78 79 83 84 91 95 98 110 113 118 121 "
    "125 126 128 130 131 135 137 138 143 144 145 150 156 159 162 169 170 174 175 178 179 180 181 182 185 "
    "190 192 197 200 202 204 212 213 215 219 222 224 226 228",
}
"""Rough share of structures by number, the larger of organic (Cambridge Structural Database) and inorganic (ICSD)
collections. Classes of a factor three, from the general shape of the published lists, not exact counts: P 21/c 34 % and
P -1 25 % of the former (CCDC, CSD space group statistics), P n m a 8 % of the latter."""

FREQUENCY_PERCENT = {int(number): percent for percent, numbers in _NUMBERS.items() for number in numbers.split()}
RARE_PERCENT = 0.03
"""The class below the last of the table, by the same factor of three."""


def log_frequency(number: int) -> float:
    """Return the natural logarithm of the share (percent) of a space group, by its number."""
    return math.log(FREQUENCY_PERCENT.get(number, RARE_PERCENT))
