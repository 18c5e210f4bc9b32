"""The forward model: a structure to a tilt series of electron-counted 4D-STEM scans with known truth."""

from typing import TYPE_CHECKING

from tasks.face import open_face

if TYPE_CHECKING:
    from tasks.simulate.camera import Recorded
    from tasks.simulate.demo_structure import uio66
    from tasks.simulate.exposure import Exposure, expose
    from tasks.simulate.faults import transmitted
    from tasks.simulate.instruments import INSTRUMENTS, settings_of
    from tasks.simulate.models import (
        ClusterPlan,
        Instrument,
        ScatteringPlan,
        SimulationSettings,
        Structure,
        StructureAtom,
        TiltPlan,
    )
    from tasks.simulate.specimen import Specimen, prepare_specimen
else:
    __getattr__ = open_face(__name__)

__all__ = [
    "INSTRUMENTS",
    "ClusterPlan",
    "Exposure",
    "Instrument",
    "Recorded",
    "ScatteringPlan",
    "SimulationSettings",
    "Specimen",
    "Structure",
    "StructureAtom",
    "TiltPlan",
    "expose",
    "prepare_specimen",
    "settings_of",
    "transmitted",
    "uio66",
]
