"""What every channel of a tilt series shares: masks, sub-pixel shifts and one normalization factor per tilt.

Masks and shifts come from the ADF images, where the counts are, and are then applied to every EDS map and every EELS
channel. All functions accept numpy arrays, memory maps and Dask arrays inside the containers; Dask stays lazy.
"""

from ._series import bin_pixels, map_tilts, select_tilts, values_of
from .hot_pixels import hot_pixels, remove_hot_pixels
from .masks import apply_masks, background_level, neighbor_correlation, otsu_masks
from .normalization import normalization_factors, normalize_tilts
from .shifts import apply_rotation, apply_shifts, fourier_shift

__all__ = [
    "apply_masks",
    "apply_rotation",
    "apply_shifts",
    "background_level",
    "bin_pixels",
    "fourier_shift",
    "hot_pixels",
    "map_tilts",
    "neighbor_correlation",
    "normalization_factors",
    "normalize_tilts",
    "otsu_masks",
    "remove_hot_pixels",
    "select_tilts",
    "values_of",
]
