"""From counts to atomic percent: k-factors, Cliff-Lorimer, and the published chain with its open switches."""

from .correction import CorrectedTotals, correct_absorption, correct_maps
from .null import counted_lines, homogeneous_maps, shifted_rich_share
from .paper import PREFILTERS, SUPPORTS, PaperComposition, reconstruct_paper
from .quantification import cliff_lorimer, k_factors, k_factors_from_cross_sections

__all__ = [
    "PREFILTERS",
    "SUPPORTS",
    "CorrectedTotals",
    "PaperComposition",
    "cliff_lorimer",
    "correct_absorption",
    "correct_maps",
    "counted_lines",
    "homogeneous_maps",
    "k_factors",
    "k_factors_from_cross_sections",
    "reconstruct_paper",
    "shifted_rich_share",
]
