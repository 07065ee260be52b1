"""What tilts and pixels resolve, and how many X-rays leave the particle.

References
----------
Crowther, DeRosier and Klug, Proc. R. Soc. Lond. A 317, 319 (1970).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .._validation import check_positive, checked, fail
from ..simulation import Acquisition
from . import material


@dataclass(frozen=True)
class Resolution:
    """Lengths that limit what is seen, noise apart.

    Parameters
    ----------
    nyquist_nm : float
        Two pixels: the smallest period that is sampled.
    crowther_nm : float
        Smallest period that the number of tilts supports throughout the particle.
    elongation : float
        By how much the missing wedge stretches small things along the beam.
    across_nm, along_beam_nm : float
        The larger of the first two, and the same times the elongation.
    """

    nyquist_nm: float
    crowther_nm: float
    elongation: float

    @property
    def across_nm(self) -> float:
        """The larger of the two limits."""
        return max(self.nyquist_nm, self.crowther_nm)

    @property
    def along_beam_nm(self) -> float:
        """The same along the beam of the untilted specimen."""
        return self.across_nm * self.elongation


@checked
def resolution(acquisition: Acquisition, *, particle_nm: float) -> Resolution:
    r"""Return what tilts and pixels resolve in a particle.

    .. math:: d = D\, \Delta\theta, \qquad
              e = \sqrt{\frac{\alpha + \sin\alpha \cos\alpha}{\alpha - \sin\alpha \cos\alpha}}

    with the diameter D, the mean step of the tilts and the largest tilt α, both in radians.

    Parameters
    ----------
    acquisition : Acquisition
        Its tilts and pixels count.
    particle_nm : float
        Diameter.

    Returns
    -------
    Resolution

    Raises
    ------
    ValueError
        If there are fewer than two tilts, or a size is not positive.

    Notes
    -----
    Crowther's criterion asks that a reconstruction without prior knowledge be right. Positivity and a support, as in
    every method of this package, resolve finer than that; noise, coarser.

    References
    ----------
    Crowther, DeRosier, Klug, Proc. R. Soc. Lond. A 317, 319 (1970). Radermacher, in Electron Tomography (2006).

    Examples
    --------
    >>> limits = resolution(Acquisition(), particle_nm=170.0)
    >>> round(limits.crowther_nm, 1), round(limits.nyquist_nm, 2), round(limits.elongation, 2)
    (29.7, 9.26, 1.31)
    """
    diameter = check_positive(particle_nm, "particle_nm")
    angles = np.sort(np.asarray(acquisition.tilt_angles_deg, dtype=float))
    if angles.size < 2:
        raise fail("acquisition", expected="two or more tilts", got=angles.size, remedy="one image has no depth")
    step = np.deg2rad(np.ptp(angles) / (angles.size - 1))
    largest = np.deg2rad(min(np.abs(angles).max(), 90.0))
    shared = np.sin(largest) * np.cos(largest)
    elongation = np.sqrt((largest + shared) / (largest - shared))
    return Resolution(2 * acquisition.pixel_size_nm, float(diameter * step), float(elongation))


@checked
def transmission(*, particle_nm: float, fractions: Mapping[str, float] | None = None) -> dict[str, float]:
    """Return which share of the X-rays from the middle of a round particle leaves it, for the main line of elements.

    Parameters
    ----------
    particle_nm : float
        Diameter.
    fractions : mapping of str to float, optional
        Atomic fractions; NCM111 by default, at whose atomic density it is taken.

    Returns
    -------
    dict of str to float
        Between 0 and 1.

    Examples
    --------
    >>> shares = transmission(particle_nm=170.0)
    >>> shares["Ni"] < shares["O"] < 1
    True
    """
    radius = check_positive(particle_nm, "particle_nm") / 2
    per_nm = material.absorption_per_nm(material.FRACTIONS if fractions is None else fractions)
    return {element: float(np.exp(-exponent * radius)) for element, exponent in per_nm.items()}
