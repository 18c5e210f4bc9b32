"""What iotbx reads of a CIF, an FCF and a RES, as JSON: run as a program, since cctbx must be imported first of all."""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any


def opened_by_iotbx(cif: Path, res: Path, fcf: Path) -> dict[str, Any]:
    """Return what iotbx reads of the three files of a refined structure, in a process of its own."""
    run = subprocess.run(
        [sys.executable, __file__, str(cif), str(res), str(fcf)], capture_output=True, text=True, check=True
    )
    return json.loads(run.stdout)


def without_factors(text: str) -> str:
    """Return a RES with the elements only on its SFAC lines: iotbx knows no scattering factors written out."""
    joined = re.sub(r"=\n\s+", " ", text)
    names = re.findall(r"(?m)^SFAC ([A-Z][a-z]?) .*\d", joined)
    if not names:
        return joined
    rest = re.sub(r"(?m)^SFAC .*\n", "", joined)
    return re.sub(r"(?m)^UNIT", f"SFAC {' '.join(names)}\nUNIT", rest)


def main(cif: str, res: str, fcf: str) -> dict[str, Any]:
    """Return cells, groups and atoms of CIF and RES, and R factors by the FCF."""
    import iotbx.cif
    from cctbx import xray

    (structure,) = iotbx.cif.reader(cif).build_crystal_structures().values()
    with tempfile.NamedTemporaryFile("w", suffix=".res") as plain:
        plain.write(without_factors(Path(res).read_text()))
        plain.flush()
        by_shelx = xray.structure.from_shelx(filename=plain.name)
    arrays = {array.info().labels[-1]: array for array in iotbx.cif.reader(fcf).as_miller_arrays()}
    f_obs_sq, f_calc_sq = arrays["_refln_F_squared_sigma"], arrays["_refln_F_squared_calc"]
    strong = f_obs_sq.data() > 2 * f_obs_sq.sigmas()
    f_obs = f_obs_sq.select(strong).as_amplitude_array()
    f_calc = f_calc_sq.select(strong).as_amplitude_array()
    return {
        "cif": _described(structure),
        "res": _described(by_shelx),
        "density": structure.crystal_density(),
        "contents": structure.unit_cell_content(),
        "r1": f_obs.r1_factor(f_calc, scale_factor=1.0),
        "reflections": f_obs_sq.size(),
        "observed": f_obs.size(),
    }


def _described(structure: Any) -> dict[str, Any]:
    from cctbx import adptbx

    cell = structure.unit_cell()
    return {
        "cell": cell.parameters(),
        "number": structure.space_group_info().type().number(),
        "hall": structure.space_group_info().type().hall_symbol(),
        "order": structure.space_group().order_z(),
        "atoms": [
            {
                "label": atom.label,
                "element": atom.element_symbol(),
                "position": atom.site,
                "u_aniso": adptbx.u_star_as_u_cif(cell, atom.u_star) if atom.flags.use_u_aniso() else None,
                "u": atom.u_iso_or_equiv(cell),
                "occupancy": atom.occupancy,
                "multiplicity": atom.multiplicity(),
            }
            for atom in structure.scatterers()
        ],
    }


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
