r"""Beam damage with one constant: what the dose has done to the specimen when an exposure begins.

At a depth d below the surface the share

.. math:: s(d, D) = \left(1 - e^{-D / D_c}\right) e^{-d / 10\,\mathrm{nm}}

of the metals that can be reduced has been: Mn4+ and Mn3+ to Mn2+, Co3+ to Co2+. Every charge that is lost takes half an
oxygen atom along. :math:`D_c` is the critical dose. Nothing else moves: shape, metals, lithium and nickel stay.

References
----------
Egerton, Li and Malac, Micron 35, 399 (2004): a critical dose. The depth is a choice of this twin.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from .._typing import Floats
from .._validation import check_positive, checked, fail
from ..constants import D_HOLES, SPECIES_ELEMENT
from ..phantoms import Phantom
from .settings import Acquisition

DEPTH_NM: Final = 10.0
"""How deep the reduction reaches: oxygen leaves through the surface (ours)."""
# What each species becomes, and the charges that the change sets free.
_REDUCED: Final = {"Mn4": ("Mn2", 2), "Mn3": ("Mn2", 1), "Co3": ("Co2", 1)}


def damaged_share(dose_e_per_a2: ArrayLike, acquisition: Acquisition) -> Floats:
    """Share of the surface's metals that a dose has reduced.

    Parameters
    ----------
    dose_e_per_a2 : array_like
        Dose received so far, e/Å².
    acquisition : Acquisition
        Supplies the critical dose.

    Returns
    -------
    ndarray
        From 0 to 1, in the shape of the dose; 0 where the critical dose is infinite.

    Examples
    --------
    >>> float(damaged_share(1e6, Acquisition(critical_dose_e_per_a2=1e6)))
    0.632
    """
    return np.asarray(-np.expm1(-np.asarray(dose_e_per_a2, dtype=np.float64) / acquisition.critical_dose_e_per_a2))


def near_surface(depth_nm: Floats) -> Floats:
    """Weight of a depth: 1 at the surface (and outside), exp(-d / 10 nm) below."""
    return np.asarray(np.exp(-np.maximum(depth_nm, 0) / DEPTH_NM))


def damage(maps: Mapping[str, Floats], surface_maps: Mapping[str, Floats], share: float) -> dict[str, Floats]:
    """Reduce what lies under every pixel.

    Parameters
    ----------
    maps : mapping of str to array, shape (y, x)
        Atoms per nm² of each species of the intact specimen.
    surface_maps : mapping of str to array, shape (y, x)
        The same, weighted with :func:`near_surface` along the ray.
    share : float
        From :func:`damaged_share`.

    Returns
    -------
    dict of str to ndarray, shape (y, x)

    Examples
    --------
    >>> intact = {"O": np.array([40.0]), "Mn4": np.array([10.0]), "Mn2": np.array([0.0])}
    >>> {name: float(areal[0]) for name, areal in damage(intact, intact, 0.5).items()}
    {'O': 35.0, 'Mn4': 5.0, 'Mn2': 5.0}
    """
    result = {name: np.array(areal, dtype=np.float64) for name, areal in maps.items()}
    for species, (product, charges) in _REDUCED.items():
        if species in maps:
            changed = share * surface_maps[species]
            result[species] -= changed
            result[product] += changed
            result["O"] -= changed * charges / 2
    return result


@checked
def white_line_change(
    phantom: Phantom, acquisition: Acquisition, *, critical_dose_e_per_a2: float, spacing_nm: float = 8.0
) -> dict[str, float]:
    """How much the white lines of the whole particle fall from the first to the last zero tilt.

    Parameters
    ----------
    phantom : Phantom
        The specimen.
    acquisition : Acquisition
        Dose of an image and number of exposures; its own critical dose does not matter.
    critical_dose_e_per_a2 : float
        The dose constant to try.
    spacing_nm : float, default 8
        Rays over the particle, one per square of this side.

    Returns
    -------
    dict of str to float
        For Mn and Co, relative: -0.02 is two percent of the area less.

    Raises
    ------
    ValueError
        If a dose or the spacing is not positive.

    Examples
    --------
    >>> from tritomo_helpers import phantoms
    >>> small = phantoms.particle("pristine-4", shape=16)
    >>> change = white_line_change(small, Acquisition(), critical_dose_e_per_a2=1e6, spacing_nm=20)
    >>> -0.1 < change["Mn"] < 0
    True
    """
    check_positive(critical_dose_e_per_a2, "critical_dose_e_per_a2")
    check_positive(spacing_nm, "spacing_nm")
    settings = acquisition.replace(critical_dose_e_per_a2=critical_dose_e_per_a2)
    u0, u1, y0, y1 = phantom.extent_nm(0.0)
    u, y = np.arange(u0, u1, spacing_nm) + spacing_nm / 2, np.arange(y0, y1, spacing_nm) + spacing_nm / 2
    maps = phantom.areal_densities(0.0, u, y)
    surface = phantom.areal_densities(0.0, u, y, depth_weight=near_surface)
    one_image = acquisition.dose_per_image_e_per_a2
    doses = (one_image / 2, (acquisition.n_exposures - 0.5) * one_image)
    first, last = (_holes(damage(maps, surface, float(damaged_share(dose, settings)))) for dose in doses)
    return {element: last[element] / first[element] - 1 for element in first}


def _holes(maps: Mapping[str, Floats]) -> dict[str, float]:
    totals = {"Mn": 0.0, "Co": 0.0}
    for name, areal in maps.items():
        if SPECIES_ELEMENT[name] in totals:
            totals[SPECIES_ELEMENT[name]] += D_HOLES[name] * float(np.sum(areal))
    return totals


@checked
def detection_power(change: ArrayLike, standard_error: ArrayLike, *, significance: float = 0.05) -> Floats:
    r"""Probability that a two-sided test sees a change: the power of a damage check.

    .. math:: \Phi(|\Delta| / s - z) + \Phi(-|\Delta| / s - z), \qquad \Phi(-z) = \alpha / 2

    Parameters
    ----------
    change, standard_error : array_like
        True change Δ and standard error s of the measured one, in one unit; they broadcast.
    significance : float, default 0.05
        α, the false alarms that are accepted where nothing changes.

    Returns
    -------
    ndarray
        From α (no change) to 1.

    Raises
    ------
    ValueError
        If a standard error is not positive or α is not between 0 and 1.

    Examples
    --------
    >>> detection_power([0.0, 0.02, 0.05], 0.01).round(2)
    array([0.05, 0.52, 1.  ])
    """
    from scipy.special import ndtr, ndtri

    if not 0 < significance < 1:
        raise fail(
            "significance",
            expected="a probability between 0 and 1",
            got=significance,
            remedy="give the share of false alarms that you accept, such as 0.05",
        )
    errors = np.asarray(standard_error, dtype=np.float64)
    if not np.all(errors > 0):
        raise fail(
            "standard_error",
            expected="numbers above zero",
            got=f"{errors.min():g}",
            remedy="give the standard error of the change",
        )
    try:
        true_change, errors = np.broadcast_arrays(np.asarray(change, dtype=np.float64), errors)
    except ValueError:
        shapes = f"shapes {np.shape(change)} and {errors.shape}"
        raise fail("change", expected="a standard error for each", got=shapes, remedy="make them agree") from None
    ratio, limit = np.abs(true_change) / errors, ndtri(1 - significance / 2)
    return np.asarray(ndtr(ratio - limit) + ndtr(-ratio - limit))
