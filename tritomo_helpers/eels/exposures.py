"""Did the beam change the specimen? Two exposures of the same view, compared peak by peak beside their noise.

References
----------
Energies as in `eels.zero_loss`, areas as in `eels.peaks`; the noise of a difference is derived here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage

from .._representation import short_repr
from .._typing import Bools, Floats
from .._validation import check_increasing, check_positive, check_shape, checked, fail
from .peaks import find_peak, peak_area

#: Where the zero-loss peak is looked for, eV.
_ZERO_LOSS_EV = (-5.0, 5.0)
#: Share of the brightest ADF pixel above which a pixel counts as particle.
_PARTICLE = 0.2


@dataclass(frozen=True, eq=False)
class ExposureChange:
    """What changed from the first exposure to the last, and how much of that is noise.

    Parameters
    ----------
    areas : ndarray, shape (peak, exposure, y, x)
        Area of every peak, counts, on its right energy and in its right place.
    on_particle : ndarray of bool, shape (y, x)
        Pixels that all exposures see.
    over_noise : ndarray, shape (peak, y, x)
        Change of each pixel over its standard deviation; NaN off the particle. One is its scatter if nothing changed.
    relative_noise : ndarray, shape (peak,)
        Median standard deviation of the change of a pixel, relative to the median area.
    change, standard_error : ndarray, shape (peak,)
        Of the whole particle, relative to the first exposure.
    drift_ev : ndarray, shape (exposure, y, x)
        Where the zero-loss peak stood.
    """

    areas: Floats
    on_particle: Bools
    over_noise: Floats
    relative_noise: Floats
    change: Floats
    standard_error: Floats
    drift_ev: Floats

    __repr__ = short_repr


@checked
def compare_exposures(
    core_loss: ArrayLike,
    low_loss: ArrayLike,
    adf: ArrayLike,
    *,
    core_loss_energy_ev: ArrayLike,
    low_loss_energy_ev: ArrayLike,
    centers_ev: Sequence[float],
    readout_noise: float = 0.0,
) -> ExposureChange:
    r"""Compare the peaks of the last exposure with those of the first.

    The axis of every pixel is put right by whole channels with its zero-loss peak, every exposure is moved by whole
    pixels with the center of mass of its ADF image, and each pixel of the first gets as much matter as the last sees:

    .. math:: D = A_\mathrm{last} - r A_\mathrm{first}, \qquad r = \frac{I_\mathrm{last}}{I_\mathrm{first}}, \qquad
              \sigma_D^2 = \sigma_\mathrm{last}^2 + r^2 \sigma_\mathrm{first}^2

    Parameters
    ----------
    core_loss, low_loss : array_like, shape (exposure, y, x, energy)
        Counts of the two ranges.
    adf : array_like, shape (exposure, y, x)
        How much matter each pixel saw.
    core_loss_energy_ev, low_loss_energy_ev : array_like, shape (energy,)
        Channel centers, eV, strictly increasing.
    centers_ev : sequence of float
        Peaks to compare, eV; energies without an edge give a null.
    readout_noise : float, default 0
        Standard deviation of the readout, counts per channel and exposure.

    Returns
    -------
    ExposureChange

    Raises
    ------
    ValueError
        If there are fewer than two exposures, shapes differ, or no pixel is on the particle in all.

    Notes
    -----
    A count has its own variance. The axis must not have moved by more than 5 eV.

    Examples
    --------
    >>> low_ev, core_ev = np.arange(-10.0, 10.0), np.arange(600.0, 700.0)
    >>> low = np.exp(-((low_ev + 0) ** 2)) * np.ones((2, 3, 3, 1))
    >>> core = (100 + 50 * np.exp(-(((core_ev - 640) / 2) ** 2))) * np.ones((2, 3, 3, 1))
    >>> found = compare_exposures(
    ...     core, low, np.ones((2, 3, 3)), core_loss_energy_ev=core_ev, low_loss_energy_ev=low_ev, centers_ev=[640]
    ... )
    >>> float(found.change[0])
    0.0
    """
    energy = check_increasing(core_loss_energy_ev, "core_loss_energy_ev")
    matter = np.asarray(adf, dtype=np.float64)
    n_exposures = matter.shape[0]
    if n_exposures < 2:
        raise fail("adf", expected="at least two exposures", got=n_exposures, remedy="give the repeated scans")
    check_positive(readout_noise, "readout_noise", zero_ok=True)
    spectra, losses = np.asarray(core_loss), np.asarray(low_loss)
    check_shape(spectra, "core_loss", (*matter.shape, energy.size), remedy="give one spectrum per pixel")
    check_shape(losses[..., 0], "low_loss", matter.shape, remedy="give one spectrum per pixel")
    weights = _peak_weights(energy, centers_ev)
    drift = np.stack([find_peak(exposure, low_loss_energy_ev, window_ev=_ZERO_LOSS_EV) for exposure in losses])
    areas, variances = _areas(spectra, drift, weights, energy=energy, readout_noise=readout_noise)
    if not (matter.max(axis=(1, 2)) > 0).all():
        raise fail("adf", expected="a particle in all exposures", got="an empty image", remedy="leave that scan out")
    shifts = _whole_shifts(matter)
    matter, areas, variances = (_rolled(stack, shifts) for stack in (matter, areas, variances))
    on_particle = (matter > _PARTICLE * matter.max()).all(axis=0) & np.isfinite(areas).all(axis=(0, -1))
    ratio = (matter[-1][on_particle] / matter[0][on_particle])[:, None]
    first, last = (areas[index][on_particle] for index in (0, -1))
    difference = last - ratio * first
    sigma = np.sqrt(variances[-1][on_particle] + ratio**2 * variances[0][on_particle])
    over_noise = np.full((weights.shape[1], *on_particle.shape), np.nan)
    over_noise[:, on_particle] = (difference / sigma).T
    total = (ratio * first).sum(axis=0)
    return ExposureChange(
        np.moveaxis(areas, -1, 0),
        on_particle,
        over_noise,
        np.median(sigma, axis=0) / np.median(ratio * first, axis=0),
        difference.sum(axis=0) / total,
        np.sqrt((sigma**2).sum(axis=0)) / np.abs(total),
        drift,
    )


def _peak_weights(energy_ev: Floats, centers_ev: Sequence[float]) -> Floats:
    """Return the weights of the channels, shape (energy, peak): an area is linear in the counts."""
    units = np.eye(energy_ev.size)
    return np.stack([peak_area(units, energy_ev, center_ev=center) for center in centers_ev], axis=1)


def _areas(
    spectra: ArrayLike, drift_ev: Floats, weights: Floats, *, energy: Floats, readout_noise: float
) -> tuple[Floats, Floats]:
    """Return the areas of the peaks with the axis put right, and their variances, (exposure, y, x, peak)."""
    step_ev = (energy[-1] - energy[0]) / (energy.size - 1)
    channels = np.arange(energy.size)
    areas, variances = [], []
    for exposure, drift in zip(np.asarray(spectra), drift_ev, strict=True):
        behind = np.rint(np.nan_to_num(drift) / step_ev).astype(int)[..., None]
        aligned = np.take_along_axis(exposure, (channels + behind).clip(0, energy.size - 1), axis=-1)
        # Where no zero loss was found the axis is not known, and so the area is not.
        areas.append(np.where(np.isfinite(drift)[..., None], aligned @ weights, np.nan))
        variances.append((aligned + readout_noise**2) @ weights**2)
    return np.stack(areas), np.stack(variances)


def _whole_shifts(matter: Floats) -> list[tuple[int, int]]:
    """Return by how many pixels each exposure has to move to lie on the first."""
    centers = np.array([ndimage.center_of_mass(image * (image > _PARTICLE * image.max())) for image in matter])
    return [(int(y), int(x)) for y, x in np.rint(centers[0] - centers)]


def _rolled(stack: Floats, shifts: Sequence[tuple[int, int]]) -> Floats:
    return np.stack([np.roll(image, shift, (0, 1)) for image, shift in zip(stack, shifts, strict=True)])
