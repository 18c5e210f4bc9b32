"""Published structures with few atoms, typed from the literature: what the adversarial cases are made of."""

from tasks.model import UnitCell
from tasks.simulate.models import Structure, StructureAtom
from tests.synthetic import structures

Cell = tuple[float, float, float, float, float, float]


def _crystal(name: str, hall: str, cell: Cell, u_iso: float, sites: str) -> Structure:
    """Return a structure; `sites` has a symbol and three fractional coordinates for each atom."""
    words = sites.split()
    atoms = [
        StructureAtom(
            label=f"{words[i]}{i // 4 + 1}",
            element=words[i],
            position=(float(words[i + 1]), float(words[i + 2]), float(words[i + 3])),
            u_iso_angstrom2=u_iso,
        )
        for i in range(0, len(words), 4)
    ]
    return Structure(name=name, cell=UnitCell.of(cell), hall=hall, atoms=tuple(atoms))


PUBLISHED = (
    # Hughes, Cameron & Crowley, Am. Mineral. 74, 870-876 (1989)
    _crystal("apatite", "-P 6c", (9.397, 9.397, 6.878, 90, 90, 120), 0.008, """
        Ca 0.666667 0.333333 0.0010 Ca -0.00712 0.24227 0.25 P 0.3981 0.3688 0.25 O 0.3262 0.4843 0.25
        O 0.5880 0.4668 0.25 O 0.3415 0.2569 0.0704 F 0 0 0.25"""),
    # Hazen, Finger & Mariathasan, J. Phys. Chem. Solids 46, 253-263 (1985)
    _crystal("scheelite", "-I 4ad", (5.2429, 5.2429, 11.3737, 90, 90, 90), 0.007, """
        Ca 0 0.25 0.625 W 0 0.25 0.125 O 0.1507 0.0086 0.2106"""),
    # Hawthorne & Ferguson, Can. Mineral. 13, 377-382 (1975)
    _crystal("cryolite", "-P 2yn", (5.4024, 5.5959, 7.7564, 90, 90.278, 90), 0.014, """
        Al 0 0 0 Na 0 0 0.5 Na 0.5133 -0.0519 0.2474 F 0.1026 0.0455 0.2194 F -0.2732 0.1737 0.0462
        F 0.1634 0.2690 -0.0630"""),
    # Maslen, Streltsov & Streltsova, Acta Cryst. B49, 636-641 (1993)
    _crystal("calcite", '-R 3 2"c', (4.988, 4.988, 17.061, 90, 90, 120), 0.010, "Ca 0 0 0 C 0 0 0.25 O 0.2568 0 0.25"),
    # Althoff, Am. Mineral. 62, 772-783 (1977)
    _crystal("dolomite", "-R 3", (4.8069, 4.8069, 16.002, 90, 90, 120), 0.009, """
        Ca 0 0 0 Mg 0 0 0.5 C 0 0 0.24289 O 0.2480 -0.0354 0.24393"""),
    # Abrahams, Reddy & Bernstein, J. Phys. Chem. Solids 27, 997-1012 (1966)
    _crystal("niobate", 'R 3 -2"c', (5.1483, 5.1483, 13.8631, 90, 90, 120), 0.007, """
        Nb 0 0 0 Li 0 0 0.2829 O 0.0492 0.3446 0.0647"""),
    # Kwei et al., J. Phys. Chem. 97, 2368-2377 (1993), tetragonal
    _crystal("titanate", "P 4 -2", (3.9910, 3.9910, 4.0352, 90, 90, 90), 0.006, """
        Ba 0 0 0 Ti 0.5 0.5 0.5224 O 0.5 0.5 -0.0244 O 0.5 0 0.4895"""),
    # Meagher & Lager, Can. Mineral. 17, 77-85 (1979)
    _crystal("rutile", "-P 4n 2n", (4.59373, 4.59373, 2.95812, 90, 90, 90), 0.006, "Ti 0 0 0 O 0.3053 0.3053 0"),
    _crystal("brookite", "-P 2ac 2ab", (9.184, 5.447, 5.145, 90, 90, 90), 0.005, """
        Ti 0.1290 0.0972 -0.1371 O 0.0101 0.1486 0.1824 O 0.2304 0.1130 -0.4629"""),
    # Hawthorne & Ferguson, Can. Mineral. 13, 289-292 (1975)
    _crystal("anhydrite", "-A 2a 2a", (6.993, 6.995, 6.245, 90, 90, 90), 0.009, """
        Ca 0.75 0 0.3476 S 0.25 0 0.15556 O 0.25 0.1699 0.0162 O 0.0819 0 0.2975"""),
    # Geisinger et al., J. Phys. Chem. 91, 3218-3239 (1987)
    _crystal("coesite", "-C 2yc", (7.1356, 12.3692, 7.1736, 90, 120.34, 90), 0.006, """
        Si 0.14033 0.10833 0.07227 Si 0.50682 0.15799 0.54077 O 0 0 0 O 0.5 0.1163 0.75 O 0.2660 0.1234 0.9401
        O 0.3114 0.1038 0.3282 O 0.0172 0.2117 0.4782"""),
    # Effenberger & Zemann, Z. Krist. 150, 133-138 (1979)
    _crystal("zabuyelite", "-C 2yc", (8.3593, 4.9725, 6.1975, 90, 114.83, 90), 0.013, """
        Li 0.1965 0.4484 0.8344 C 0 0.0657 0.25 O 0 0.3213 0.25 O 0.1459 -0.0635 0.3127"""),
    # Brostigen & Kjekshus, Acta Chem. Scand. 23, 2186-2188 (1969)
    _crystal("pyrite", "-P 2ac 2ab 3", (5.4179, 5.4179, 5.4179, 90, 90, 90), 0.005, "Fe 0 0 0 S 0.385 0.385 0.385"),
    # Wyckoff, Crystal Structures 1 (1963)
    _crystal("halite", "-F 4 2 3", (5.6402, 5.6402, 5.6402, 90, 90, 90), 0.018, "Na 0 0 0 Cl 0.5 0.5 0.5"),
    _crystal("fluorite", "-F 4 2 3", (5.463, 5.463, 5.463, 90, 90, 90), 0.008, "Ca 0 0 0 F 0.25 0.25 0.25"),
    _crystal("blende", "F -4 2 3", (5.4093, 5.4093, 5.4093, 90, 90, 90), 0.009, "Zn 0 0 0 S 0.25 0.25 0.25"),
    # shared/data/l-alanine, X-rays
    _crystal("alanine", "P 2ac 2ab", (5.9279, 12.2597, 5.7939, 90, 90, 90), 0.010, """
        O 0.72707 0.08373 0.62435 O 0.44089 0.18410 0.76127 N 0.64730 0.13742 0.18282 C 0.46619 0.16105 0.35487
        C 0.25989 0.09073 0.30330 C 0.55399 0.14080 0.59994 H 0.6980 0.0649 0.189 H 0.7687 0.1828 0.201
        H 0.579 0.1459 0.016 H 0.4234 0.2399 0.3434 H 0.2018 0.1088 0.152 H 0.1439 0.1076 0.423
        H 0.3016 0.0097 0.309"""),
)  # fmt: skip


def published(name: str) -> Structure:
    """Return the structure of this name, of this module or of `tests.synthetic.structures`."""
    every = {item.name: item for item in (*PUBLISHED, *structures.all_structures())}
    return every[name]
