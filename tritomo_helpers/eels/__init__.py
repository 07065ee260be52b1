"""Energy-loss spectra: axes, peaks, thickness, drift, and what follows from them.

Functions take spectra with any leading axes, energy last: numpy arrays, memory maps or Dask arrays.
"""

from ..spectroscopy import continuum, over_spectra
from .axis import calibrate_axis
from .background import EdgeSpectra, SweepStep, subtract_background, sweep_background
from .deconvolution import fourier_ratio, low_pass
from .exposures import ExposureChange, compare_exposures
from .filtering import filter_neighbors, sum_neighbors
from .peaks import find_peak, peak_area, peak_faults
from .scattering import scattered_edge
from .sweep_settings import Candidate, SweepSettings
from .thickness import relative_thickness, thickness_faults
from .zero_loss import align_zero_loss, zero_loss_center

__all__ = [
    "Candidate",
    "EdgeSpectra",
    "ExposureChange",
    "SweepSettings",
    "SweepStep",
    "align_zero_loss",
    "calibrate_axis",
    "compare_exposures",
    "continuum",
    "filter_neighbors",
    "find_peak",
    "fourier_ratio",
    "low_pass",
    "over_spectra",
    "peak_area",
    "peak_faults",
    "relative_thickness",
    "scattered_edge",
    "subtract_background",
    "sum_neighbors",
    "sweep_background",
    "thickness_faults",
    "zero_loss_center",
]
