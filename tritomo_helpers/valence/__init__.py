"""Valence states from energy-loss spectra: the published chain, and what it is made of."""

from .fixed_references import EdgeFit, fit_edges
from .reference_rows import atom_cross_sections
from .white_lines import fractions, white_line_factors

__all__ = [
    "EdgeFit",
    "atom_cross_sections",
    "fit_edges",
    "fractions",
    "white_line_factors",
]
