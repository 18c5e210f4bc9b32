"""Frames to merged intensities: spots, lattice, integration, scaling, statistics."""

from typing import TYPE_CHECKING

from tasks.face import open_face

if TYPE_CHECKING:
    from tasks.integrate.assemble import (
        Particulars,
        assemble_reflections,
        laue_warnings,
        reflections_from_observations,
        reindexed,
    )
    from tasks.integrate.beside_detector import frames_beside_detector
    from tasks.integrate.builtin import BuiltinIntegrator
    from tasks.integrate.cell_scale import calibrated_scale, curvature_doubt, stated_scale, volume_esd, whole_esd
    from tasks.integrate.crystals.combine import combine_crystals, sorted_forms
    from tasks.integrate.crystals.crystal_match import amplitudes, averaged, match_crystals, reduced_crystal, row_keys
    from tasks.integrate.crystals.parts import join_parts, whole_in_shown_symmetry
    from tasks.integrate.crystals.reach import joint_d_min
    from tasks.integrate.crystals.relations import relation_text, relations_in
    from tasks.integrate.crystals.same_axes import in_axes_of
    from tasks.integrate.forecast import Forecast, forecast_completeness
    from tasks.integrate.frame_intensities import FrameIntensities, virtual_frames
    from tasks.integrate.hklf4 import hklf4_text, scale_for
    from tasks.integrate.known_geometry import KnownGeometryIntegrator, keeps_geometry
    from tasks.integrate.measurements import LEFT_OUT, SET_ASIDE, USED, Measurements, own_pixels, read_traces
    from tasks.integrate.merging.equivalents import merge_equivalents, observations_at, to_asymmetric_unit
    from tasks.integrate.merging.resolution import significant_d_min
    from tasks.integrate.merging.statistics import merging_statistics
    from tasks.integrate.models import (
        AxisTest,
        CellEsd,
        CellScale,
        ClusterGrowth,
        ClusterMember,
        CombinedSets,
        CountingLoss,
        CrystalCluster,
        CrystalLeftOut,
        CrystalRelation,
        Damage,
        DiscFigures,
        JoinedParts,
        JoiningEvidence,
        NeighbourIndexing,
        Reflections,
        ShellStatistics,
        SpaceGroupCandidate,
    )
    from tasks.integrate.neighbour_geometry import Neighbour, NeighbourGeometryIntegrator
    from tasks.integrate.overlaps import DomainOverlaps, Separated, read_overlaps, separated, write_overlaps
    from tasks.integrate.ports import Integrator
    from tasks.integrate.reflection_file import Merged, Unmerged, read_merged, read_unmerged, write_reflections
    from tasks.integrate.settings import PatchworkSettings
    from tasks.integrate.symmetry.laue import LaueChoice, determine_laue_group, determine_laue_group_in_setting
    from tasks.integrate.symmetry.space_groups import rank_space_groups
    from tasks.integrate.symmetry.supercell import smaller_cell
    from tasks.integrate.task import integrate_frames
    from tasks.integrate.tilt_halves import HalvesAgreement, halves_agreement
else:
    __getattr__ = open_face(__name__)

__all__ = [
    "LEFT_OUT",
    "SET_ASIDE",
    "USED",
    "AxisTest",
    "BuiltinIntegrator",
    "CellEsd",
    "CellScale",
    "ClusterGrowth",
    "ClusterMember",
    "CombinedSets",
    "CountingLoss",
    "CrystalCluster",
    "CrystalLeftOut",
    "CrystalRelation",
    "Damage",
    "DiscFigures",
    "DomainOverlaps",
    "Forecast",
    "FrameIntensities",
    "HalvesAgreement",
    "Integrator",
    "JoinedParts",
    "JoiningEvidence",
    "KnownGeometryIntegrator",
    "LaueChoice",
    "Measurements",
    "Merged",
    "Neighbour",
    "NeighbourGeometryIntegrator",
    "NeighbourIndexing",
    "Particulars",
    "PatchworkSettings",
    "Reflections",
    "Separated",
    "ShellStatistics",
    "SpaceGroupCandidate",
    "Unmerged",
    "amplitudes",
    "assemble_reflections",
    "averaged",
    "calibrated_scale",
    "combine_crystals",
    "curvature_doubt",
    "determine_laue_group",
    "determine_laue_group_in_setting",
    "forecast_completeness",
    "frames_beside_detector",
    "halves_agreement",
    "hklf4_text",
    "in_axes_of",
    "integrate_frames",
    "join_parts",
    "joint_d_min",
    "keeps_geometry",
    "laue_warnings",
    "match_crystals",
    "merge_equivalents",
    "merging_statistics",
    "observations_at",
    "own_pixels",
    "rank_space_groups",
    "read_merged",
    "read_overlaps",
    "read_traces",
    "read_unmerged",
    "reduced_crystal",
    "reflections_from_observations",
    "reindexed",
    "relation_text",
    "relations_in",
    "row_keys",
    "scale_for",
    "separated",
    "significant_d_min",
    "smaller_cell",
    "sorted_forms",
    "stated_scale",
    "to_asymmetric_unit",
    "virtual_frames",
    "volume_esd",
    "whole_esd",
    "whole_in_shown_symmetry",
    "write_overlaps",
    "write_reflections",
]
