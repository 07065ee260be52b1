"""Fused tomography: composition in 3D from ADF and X-ray maps together, and the clusters that they can show."""

from .density import density_from_adf, particle_mask
from .detection import Detection, Score, find_clusters, matched_filter, score_clusters
from .fractions import fraction_data
from .inputs import ElementMaps, element_maps
from .published import published_fusion
from .reconstruction import METHODS, Fused, reconstruct

__all__ = [
    "METHODS",
    "Detection",
    "ElementMaps",
    "Fused",
    "Score",
    "density_from_adf",
    "element_maps",
    "find_clusters",
    "fraction_data",
    "matched_filter",
    "particle_mask",
    "published_fusion",
    "reconstruct",
    "score_clusters",
]
