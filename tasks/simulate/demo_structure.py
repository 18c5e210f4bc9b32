"""The structure of the built-in demo: UiO-66, idealised.

Cavka et al., J. Am. Chem. Soc. 130, 13850-13851 (2008); cell of Oien et al., Cryst. Growth Des. 14, 5370-5372 (2014):
Zr6 O4(OH)4 clusters, hydroxide and oxide on one averaged site, joined by terephthalate in Fm-3m, a = 20.7004 A.
"""

from tasks.model import UnitCell
from tasks.simulate.models import Structure, StructureAtom


def uio66() -> Structure:
    """Return UiO-66; distances: Zr-O 2.11 and 2.22 A, C-O 1.27 A, aromatic C-C 1.36 and 1.42 A."""
    sites = (
        ("Zr1", "Zr", (0.1200, 0.0, 0.0), 0.020),
        ("O1", "O", (0.0560, 0.0560, 0.0560), 0.030),
        ("O2", "O", (0.1700, 0.0950, 0.0), 0.035),
        ("C1", "C", (0.1540, 0.1540, 0.0), 0.035),
        ("C2", "C", (0.2050, 0.2050, 0.0), 0.040),
        ("C3", "C", (0.2675, 0.1840, 0.0), 0.050),
        ("H3", "H", (0.2793, 0.1396, 0.0), 0.060),
    )
    return Structure(
        name="UiO-66",
        cell=UnitCell.of((20.7004, 20.7004, 20.7004, 90.0, 90.0, 90.0)),
        hall="-F 4 2 3",
        atoms=tuple(
            StructureAtom(label=label, element=element, position=position, u_iso_angstrom2=u_iso)
            for label, element, position, u_iso in sites
        ),
    )
