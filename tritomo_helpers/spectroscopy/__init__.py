"""Cross-sections, line shapes and reference spectra: what simulation and analysis share."""

from .continuum import MODELS as CONTINUUM_MODELS
from .continuum import continuum, outer_shell_background, parse_edge

__all__ = ["CONTINUUM_MODELS", "continuum", "outer_shell_background", "parse_edge"]
