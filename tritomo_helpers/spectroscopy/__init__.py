"""Cross-sections, line shapes and reference spectra: what simulation and analysis share."""

from . import elastic, references, xray
from .blocks import over_spectra
from .continuum import MODELS as CONTINUUM_MODELS
from .continuum import continuum, parse_edge
from .outer_shells import outer_shell_background
from .references import SETS as REFERENCE_SETS
from .references import ReferenceSet

__all__ = [
    "CONTINUUM_MODELS",
    "REFERENCE_SETS",
    "ReferenceSet",
    "continuum",
    "elastic",
    "outer_shell_background",
    "over_spectra",
    "parse_edge",
    "references",
    "xray",
]
