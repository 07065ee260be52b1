"""The probe widens on its way through the specimen: electrons that atoms turn aside sample their neighborhood."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .._typing import Floats
from ..constants import SPECIES_ELEMENT
from ..phantoms import Phantom
from ..phantoms.specimen import tilt_directions
from ..spectroscopy import elastic
from .settings import Acquisition

N_SLICES: Final = 4
"""Slices across the beam; the blur of each is that of its middle."""
# Matter above a slice at which its blur is computed, nm; between them it is interpolated pixel by pixel.
_DEPTHS_NM: Final = (0.0, 40.0, 80.0, 120.0, 160.0, 200.0, 260.0, 340.0)


def slice_borders_nm(phantom: Phantom, angle_deg: float) -> Floats:
    """Return where to cut the specimen across the beam: in slices of equal thickness.

    Examples
    --------
    >>> from tritomo_helpers import phantoms
    >>> slice_borders_nm(phantoms.balls([[0, 0, 0]], [40], shape=16), 0.0).round()
    array([-20.,   0.,  20.])
    """
    along_ray = tilt_directions(angle_deg)[1]
    heights = phantom.body.shape.surface_nm @ along_ray
    return np.linspace(heights.min(), heights.max(), N_SLICES + 1)[1:-1]


def broadened(slices: Mapping[str, Floats], acquisition: Acquisition) -> dict[str, Floats]:
    """Let the electrons of every pixel sample the slices where scattering above has taken them.

    Parameters
    ----------
    slices : mapping of str to array, shape (slice, y, x)
        Atoms per nm² of each species in each slice, in the order of the beam.
    acquisition : Acquisition
        Beam energy and pixel size.

    Returns
    -------
    dict of str to ndarray, shape (y, x)
        Atoms per nm² that the electrons of each pixel meet, on average.

    Notes
    -----
    The blur of a slice is that below as much NCM111 as scatters like what the electrons of the pixel have met, half the
    slice included. Behind 200 nm, 7 % of the matter that a pixel sees lies more than 4.63 nm aside.
    """
    ny, nx = acquisition.scan_shape
    above = _matter_above_nm(slices, acquisition)
    depths = np.array(_DEPTHS_NM)
    depths = depths[: int(np.searchsorted(depths, above.max())) + 1]
    transfer = _pixel_transfer(depths, acquisition)
    # Weight of each depth at each pixel of each slice: hats.
    hats = np.stack([np.interp(above, depths, row) for row in np.eye(depths.size)])
    result = {}
    for name, areal in slices.items():
        blurred = np.fft.irfft2(np.fft.rfft2(areal) * transfer[:, None], s=(ny, nx))
        # Rounding of the transform must not leave less than nothing.
        result[name] = np.maximum((hats * blurred).sum(axis=(0, 1)), 0.0)
    return result


def _pixel_transfer(depths_nm: Floats, acquisition: Acquisition) -> NDArray[np.complex128]:
    """Fourier transform of the blur by pixels below each depth: a kernel that is nowhere negative, of unit sum."""
    ny, nx = acquisition.scan_shape
    rows, columns = np.fft.fftfreq(ny, acquisition.pixel_size_nm), np.fft.rfftfreq(nx, acquisition.pixel_size_nm)
    frequency = np.hypot(rows[:, None], columns)
    transfer = elastic.lateral_transfer(frequency.ravel(), depths_nm, beam_energy_kev=acquisition.beam_energy_kev)
    # Cut off at the pixel's frequency, the kernel rings around zero.
    kernel = np.maximum(np.fft.irfft2(transfer.reshape(depths_nm.size, *frequency.shape), s=(ny, nx)), 0.0)
    return np.fft.rfft2(kernel / kernel.sum(axis=(1, 2), keepdims=True))


def _matter_above_nm(slices: Mapping[str, Floats], acquisition: Acquisition) -> Floats:
    """Thickness of NCM111 that scatters as much as what lies above the middle of each slice."""
    total = {
        element: elastic.ring_cross_section_nm2(
            element, angles_mrad=(0.0, 1e3), beam_energy_kev=acquisition.beam_energy_kev
        )
        for element in {SPECIES_ELEMENT[name] for name in slices} | set(elastic.NCM111_ATOMS_PER_NM3)
    }
    per_nm = sum(n * total[element] for element, n in elastic.NCM111_ATOMS_PER_NM3.items())
    scattering = np.asarray(sum(total[SPECIES_ELEMENT[name]] * areal for name, areal in slices.items())) / per_nm
    return np.asarray(np.cumsum(scattering, axis=0) - scattering / 2)
