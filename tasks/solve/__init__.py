"""Intensities to a first structure."""

from typing import TYPE_CHECKING

from tasks.face import open_face

if TYPE_CHECKING:
    from tasks.solve.engines import ChargeFlipping, DirectMethods
    from tasks.solve.groups.setting import in_stated_setting
    from tasks.solve.models import Atom, GroupEvidence, Solution, Solutions, SpaceGroupTrial
    from tasks.solve.ports import Solver
    from tasks.solve.search.given_model import solution_from_atoms
    from tasks.solve.settings import SolveSettings
    from tasks.solve.task import solve_structure
else:
    __getattr__ = open_face(__name__)

__all__ = [
    "Atom",
    "ChargeFlipping",
    "DirectMethods",
    "GroupEvidence",
    "Solution",
    "Solutions",
    "SolveSettings",
    "Solver",
    "SpaceGroupTrial",
    "in_stated_setting",
    "solution_from_atoms",
    "solve_structure",
]
