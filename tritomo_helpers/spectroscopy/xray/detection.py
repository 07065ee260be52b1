"""How a silicon drift detector blurs X-ray lines.

References
----------
Fano, Phys. Rev. 72, 26 (1947).
"""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from ..._typing import Floats
from ..._validation import check_positive, checked, fail

# Energy per electron-hole pair in silicon times its Fano factor, times 8 ln 2, in eV: the growth of FWHM² with energy
# (Knoll, Radiation Detection and Measurement, 4th ed., 2010, chapter 13: 3.65 eV and 0.1235).
_FANO_EV: Final = 8 * np.log(2) * 3.65 * 0.1235


@checked
def detector_fwhm_ev(energy_kev: ArrayLike, *, resolution_ev: float = 130.0) -> Floats:
    r"""Width of a line in a silicon drift detector.

    .. math:: \mathrm{FWHM}^2 = \mathrm{FWHM}_\mathrm{Mn\,K\alpha}^2 + 8 \ln 2\; \varepsilon F\, (E - 5895\;\mathrm{eV})

    Parameters
    ----------
    energy_kev : array_like, any shape
        Photon energy, keV.
    resolution_ev : float, default 130
        FWHM at Mn Kα, eV: how detectors are specified.

    Returns
    -------
    ndarray
        FWHM, eV.

    Raises
    ------
    ValueError
        If the resolution is better than charge statistics allow (about 121 eV).

    Examples
    --------
    >>> detector_fwhm_ev([0.525, 0.637, 0.776, 0.851]).round()
    array([59., 61., 64., 65.])
    """
    noise2 = check_positive(resolution_ev, "resolution_ev") ** 2 - _FANO_EV * 5895.0
    if noise2 < 0:
        raise fail(
            "resolution_ev",
            expected=f"at least {np.sqrt(_FANO_EV * 5895.0):.0f} eV at Mn Ka",
            got=resolution_ev,
            remedy="give the FWHM at Mn Ka of a silicon detector, such as 130",
        )
    return np.asarray(np.sqrt(noise2 + _FANO_EV * 1e3 * np.asarray(energy_kev, dtype=np.float64)))


@checked
def line_shape(energy_ev: ArrayLike, line_kev: ArrayLike, *, resolution_ev: float = 130.0) -> Floats:
    """Share of a line's counts that each channel receives.

    The Gaussian of the detector is integrated over each channel, so that counts are conserved however coarse the axis.
    Natural widths (below 2 eV) are neglected.

    Parameters
    ----------
    energy_ev : array_like, shape (energy,)
        Channel centers, evenly spaced, eV.
    line_kev : array_like, shape (...)
        Line energies, keV.
    resolution_ev : float, default 130
        FWHM at Mn Kα, eV.

    Returns
    -------
    ndarray, shape (..., energy)
        Sums to 1 when the line is well inside the axis.

    Examples
    --------
    >>> float(line_shape(np.arange(0.0, 2000.0, 10.0), 0.525).sum())
    1.0
    """
    from scipy.special import erf

    energies = np.asarray(energy_ev, dtype=np.float64)
    step = (energies[-1] - energies[0]) / (energies.size - 1)
    edges = np.append(energies - step / 2, energies[-1] + step / 2)
    lines = np.asarray(line_kev, dtype=np.float64)[..., None]
    sigma = detector_fwhm_ev(lines, resolution_ev=resolution_ev) / np.sqrt(8 * np.log(2))
    return np.asarray(np.diff(erf((edges - lines * 1e3) / (np.sqrt(2) * sigma))) / 2)
