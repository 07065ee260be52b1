"""X-ray spectra to maps: line fits, windows as a vendor's program integrates them, and absorption on the way out."""

from .absorption import absorption_weights, mass_absorption_per_atom
from .lines import LineMaps, fit_lines
from .model import LineModel
from .windows import integrate_windows

__all__ = [
    "LineMaps",
    "LineModel",
    "absorption_weights",
    "fit_lines",
    "integrate_windows",
    "mass_absorption_per_atom",
]
