"""Published structures to simulate from, one per lattice that matters. Displacements are rounded isotropic values."""

from tasks.model import UnitCell
from tasks.simulate.demo_structure import uio66
from tasks.simulate.models import Structure, StructureAtom

Site = tuple[str, tuple[float, float, float]]


def _structure(
    name: str, parameters: tuple[float, float, float, float, float, float], hall: str, sites: list[Site], u_iso: float
) -> Structure:
    atoms = []
    for number, (element, position) in enumerate(sites, 1):
        u = 2 * u_iso if element == "H" else u_iso
        atoms.append(StructureAtom(label=f"{element}{number}", element=element, position=position, u_iso_angstrom2=u))
    return Structure(name=name, cell=UnitCell.of(parameters), hall=hall, atoms=tuple(atoms))


def forsterite() -> Structure:
    """Mg2SiO4, Pbnm. Fujino et al., Acta Cryst. B37, 513-518 (1981)."""
    sites: list[Site] = [
        ("Mg", (0.0, 0.0, 0.0)),
        ("Mg", (0.9915, 0.2774, 0.25)),
        ("Si", (0.4262, 0.0940, 0.25)),
        ("O", (0.7657, 0.0913, 0.25)),
        ("O", (0.2215, 0.4474, 0.25)),
        ("O", (0.2777, 0.1628, 0.0331)),
    ]
    return _structure("forsterite", (4.7535, 10.1943, 5.9807, 90, 90, 90), "-P 2c 2ab", sites, 0.006)


def natrolite() -> Structure:
    """Na2Al2Si3O10 . 2 H2O, Fdd2, without hydrogen. Kirfel & Gibbs, Phys. Chem. Minerals 27, 270-284 (2000)."""
    sites: list[Site] = [
        ("Si", (0.0, 0.0, 0.0)),
        ("Si", (0.1533, 0.2112, 0.6234)),
        ("Al", (0.0374, 0.0936, 0.6154)),
        ("O", (0.0226, 0.0684, 0.8660)),
        ("O", (0.0700, 0.1817, 0.6098)),
        ("O", (0.0984, 0.0350, 0.5001)),
        ("O", (0.2066, 0.1529, 0.7260)),
        ("O", (0.1805, 0.2272, 0.3902)),
        ("Na", (0.2208, 0.0305, 0.6177)),
        ("O", (0.0563, 0.1896, 0.1113)),
    ]
    return _structure("natrolite", (18.272, 18.613, 6.593, 90, 90, 90), "F 2 -2d", sites, 0.012)


def diopside() -> Structure:
    """CaMgSi2O6, C2/c. Cameron et al., Am. Mineral. 58, 594-618 (1973)."""
    sites: list[Site] = [
        ("Ca", (0.0, 0.3015, 0.25)),
        ("Mg", (0.0, 0.9082, 0.25)),
        ("Si", (0.2862, 0.0933, 0.2293)),
        ("O", (0.1156, 0.0873, 0.1422)),
        ("O", (0.3611, 0.2500, 0.3180)),
        ("O", (0.3505, 0.0176, 0.9953)),
    ]
    return _structure("diopside", (9.746, 8.899, 5.251, 90, 105.63, 90), "-C 2yc", sites, 0.007)


def naphthalene() -> Structure:
    """C10H8, P21/a, without hydrogen. Cruickshank, Acta Cryst. 10, 504-508 (1957)."""
    sites: list[Site] = [
        ("C", (0.0856, 0.0186, 0.3251)),
        ("C", (0.1148, 0.1588, 0.2200)),
        ("C", (0.0472, 0.1025, 0.0351)),
        ("C", (0.0749, 0.2471, -0.0784)),
        ("C", (0.0116, 0.1869, -0.2541)),
    ]
    return _structure("naphthalene", (8.235, 6.003, 8.658, 90, 122.92, 90), "-P 2yab", sites, 0.03)


def albite() -> Structure:
    """NaAlSi3O8, low, C-1. Harlow & Brown, Am. Mineral. 65, 986-995 (1980)."""
    sites: list[Site] = [
        ("Na", (0.26825, 0.98899, 0.14610)),
        ("Al", (0.00897, 0.16835, 0.20805)),
        ("Si", (0.00395, 0.82055, 0.23706)),
        ("Si", (0.69211, 0.11025, 0.31496)),
        ("Si", (0.68158, 0.88178, 0.36052)),
        ("O", (0.00523, 0.13112, 0.96687)),
        ("O", (0.59207, 0.99703, 0.28034)),
        ("O", (0.81257, 0.10992, 0.19063)),
        ("O", (0.82022, 0.85105, 0.25854)),
        ("O", (0.01330, 0.30238, 0.27001)),
        ("O", (0.02349, 0.69377, 0.22923)),
        ("O", (0.20770, 0.10905, 0.38902)),
        ("O", (0.18385, 0.86803, 0.43612)),
    ]
    return _structure("albite", (8.142, 12.785, 7.159, 94.19, 116.61, 87.68), "-C 1", sites, 0.01)


def kyanite() -> Structure:
    """Al2SiO5, P-1. Winter & Ghose, Am. Mineral. 64, 573-586 (1979)."""
    sites: list[Site] = [
        ("Al", (0.3254, 0.7040, 0.4582)),
        ("Al", (0.2974, 0.6989, 0.9505)),
        ("Al", (0.0998, 0.3862, 0.6403)),
        ("Al", (0.1120, 0.9175, 0.1649)),
        ("Si", (0.2962, 0.0649, 0.7066)),
        ("Si", (0.2910, 0.3317, 0.1892)),
        ("O", (0.1095, 0.1468, 0.1288)),
        ("O", (0.1230, 0.6856, 0.1812)),
        ("O", (0.2747, 0.4545, 0.9547)),
        ("O", (0.2831, 0.9354, 0.9353)),
        ("O", (0.1084, 0.1520, 0.6669)),
        ("O", (0.1219, 0.6307, 0.6389)),
        ("O", (0.2822, 0.4453, 0.4288)),
        ("O", (0.2915, 0.9467, 0.4659)),
        ("O", (0.5008, 0.2749, 0.2440)),
        ("O", (0.5015, 0.2312, 0.7553)),
    ]
    return _structure("kyanite", (7.1262, 7.8520, 5.5724, 89.99, 101.11, 106.03), "-P 1", sites, 0.006)


def urea() -> Structure:
    """CO(NH2)2, P-421m. Swaminathan, Craven & McMullan, Acta Cryst. B40, 300-306 (1984), at 12 K."""
    sites: list[Site] = [
        ("C", (0.0, 0.5, 0.3260)),
        ("O", (0.0, 0.5, 0.5953)),
        ("N", (0.1459, 0.6459, 0.1766)),
        ("H", (0.2575, 0.7575, 0.2827)),
        ("H", (0.1441, 0.6441, -0.0380)),
    ]
    return _structure("urea", (5.565, 5.565, 4.684, 90, 90, 90), "P -4 2ab", sites, 0.015)


def quartz() -> Structure:
    """SiO2, P3221. Levien, Prewitt & Weidner, Am. Mineral. 65, 920-930 (1980)."""
    sites: list[Site] = [("Si", (0.4697, 0.0, 2 / 3)), ("O", (0.4133, 0.2672, 0.1188 + 2 / 3))]
    return _structure("quartz", (4.916, 4.916, 5.4054, 90, 90, 120), 'P 32 2"', sites, 0.008)


def corundum() -> Structure:
    """Al2O3, R-3c. Newnham & de Haan, Z. Krist. 117, 235-237 (1962)."""
    sites: list[Site] = [("Al", (0.0, 0.0, 0.3523)), ("O", (0.3064, 0.0, 0.25))]
    return _structure("corundum", (4.7589, 4.7589, 12.9910, 90, 90, 120), '-R 3 2"c', sites, 0.004)


def all_structures() -> tuple[Structure, ...]:
    """Return every structure, from cubic to triclinic."""
    makers = (uio66, corundum, quartz, urea, forsterite, natrolite, diopside, naphthalene, albite, kyanite)
    return tuple(make() for make in makers)
