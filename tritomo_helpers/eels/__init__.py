"""Energy-loss spectra: axes, peaks, thickness, and what follows from them.

Functions take spectra with any leading axes, energy last: numpy arrays, memory maps or Dask arrays.
"""

from ..spectroscopy import continuum, over_spectra
from .axis import calibrate_axis
from .peaks import find_peak, peak_area, peak_faults
from .thickness import relative_thickness, thickness_faults

__all__ = [
    "calibrate_axis",
    "continuum",
    "find_peak",
    "over_spectra",
    "peak_area",
    "peak_faults",
    "relative_thickness",
    "thickness_faults",
]
