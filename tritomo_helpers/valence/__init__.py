"""Valence states from energy-loss spectra: the published chain, a forward model of raw spectra, and volumes of both."""

from .expected import draw_maps, expected_maps
from .fixed_references import EdgeFit, fit_edges
from .forward import ValenceMaps, fit_spectra
from .kernels import VACUUM_THICKNESS
from .published import PublishedMaps, PublishedVolumes, fill_rejected, published_maps, published_volumes
from .reference_rows import atom_cross_sections
from .volumes import ValenceVolumes, align_maps, reconstruct
from .white_lines import fractions, white_line_factors

__all__ = [
    "VACUUM_THICKNESS",
    "EdgeFit",
    "PublishedMaps",
    "PublishedVolumes",
    "ValenceMaps",
    "ValenceVolumes",
    "align_maps",
    "atom_cross_sections",
    "draw_maps",
    "expected_maps",
    "fill_rejected",
    "fit_edges",
    "fit_spectra",
    "fractions",
    "published_maps",
    "published_volumes",
    "reconstruct",
    "white_line_factors",
]
