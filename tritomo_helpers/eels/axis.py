"""Energy axes: offset and dispersion from features whose energy is known.

References
----------
Egerton, Electron Energy-Loss Spectroscopy in the Electron Microscope, 3rd ed. (2011).
"""

import numpy as np
from numpy.typing import ArrayLike

from .._typing import Floats
from .._validation import check_increasing, check_ndim, check_shape, checked, fail


@checked
def calibrate_axis(energy_ev: ArrayLike, *, measured_ev: ArrayLike, known_ev: ArrayLike) -> tuple[Floats, Floats]:
    r"""Correct the offset and dispersion of an energy axis from features whose energy is known.

    .. math:: E' = a + b\,E

    with :math:`a, b` by least squares over the features.

    Parameters
    ----------
    energy_ev : array_like, shape (energy,)
        The axis as it was stored, strictly increasing, eV.
    measured_ev, known_ev : array_like, shape (n_features,)
        Where features lie on that axis, and where they ought to lie, eV. Two at least; more show how far to trust it.

    Returns
    -------
    corrected_ev : ndarray of float64, shape (energy,)
        The corrected axis, eV.
    residuals_ev : ndarray of float64, shape (n_features,)
        Corrected minus known energy of each feature, eV. With two features they are zero and say nothing.

    Raises
    ------
    ValueError
        If there are fewer than two different features, the lists differ in length, or the order is reversed.

    Examples
    --------
    >>> axis, residuals = calibrate_axis([500.0, 600.0, 700.0], measured_ev=[520.0, 640.0], known_ev=[532.0, 652.0])
    >>> axis.round(6)
    array([512., 612., 712.])
    """
    energy = check_increasing(energy_ev, "energy_ev")
    measured, known = (np.atleast_1d(np.asarray(v, dtype=float)) for v in (measured_ev, known_ev))
    check_ndim(measured, "measured_ev", "feature")
    check_shape(known, "known_ev", measured.shape, remedy="give one known energy for each measured one")
    if not np.all(np.isfinite([measured, known])) or np.unique(measured).size < 2:
        raise fail(
            "measured_ev",
            expected="two different features or more, all finite",
            got=measured.tolist(),
            remedy="find another peak, or correct the offset alone",
        )
    center = measured.mean()
    slope, offset = np.polyfit(measured - center, known, 1)
    if not slope > 0:
        raise fail("known_ev", expected="the same order as measured_ev", got=known.tolist(), remedy="check the pairs")
    return offset + slope * (energy - center), offset + slope * (measured - center) - known
