"""From X-ray counts to atomic fractions in the thin-film limit.

References
----------
Cliff and Lorimer, J. Microsc. 103, 203 (1975); Williams and Carter, Transmission Electron Microscopy, 2nd ed. (2009),
chapter 35.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .._typing import Floats
from .._validation import check_positive, check_shape, checked, fail
from ..constants import BEAM_ENERGY_KEV
from ..eds.model import family_cross_section


def values_of(intensities: Any) -> Floats:
    """Return the numbers in a Tomogram, a TiltSeries or an array."""
    inner = getattr(intensities, "values", getattr(intensities, "images", intensities))
    return np.asarray(inner() if callable(inner) else inner, dtype=np.float64)


@checked
def k_factors(
    intensities: Mapping[str, Any] | Sequence[Mapping[str, Any]], *, atomic_ratio: Mapping[str, float]
) -> dict[str, float]:
    r"""Find the k-factors that give particles of known composition that composition.

    .. math:: k_e = \frac{n_e / I_e}{n_r / I_r}, \qquad C_e = \frac{k_e I_e}{\sum_j k_j I_j}

    with the summed counts I, the known ratio n and the first element r. Of several particles the geometric mean.

    Parameters
    ----------
    intensities : mapping of str to array_like, TiltSeries or Tomogram; or one such mapping per particle
        Background-free counts. NaN (not measured) is left out of the sums, at the same places for all elements.
    atomic_ratio : mapping of str to float
        Known atoms of each element, such as O 6, Mn 1, Co 1, Ni 1.

    Returns
    -------
    dict of str to float
        The first element of `atomic_ratio` has 1.

    Raises
    ------
    ValueError
        If elements or shapes differ, or a total is not positive.

    Notes
    -----
    What is assumed is never found: particles that fix the k-factors have the mean composition put in.

    References
    ----------
    Cliff and Lorimer, J. Microsc. 103, 203 (1975).

    Examples
    --------
    >>> k_factors({"O": [40.0, 20.0], "Mn": [20.0, 10.0]}, atomic_ratio={"O": 2, "Mn": 1})
    {'O': 1.0, 'Mn': 1.0}
    """
    particles = [intensities] if isinstance(intensities, Mapping) else list(intensities)
    if not particles:
        raise fail("intensities", expected="at least one particle", got="none", remedy="give counts of each element")
    for element, ratio in atomic_ratio.items():
        check_positive(ratio, f"atomic_ratio of {element}")
    logarithms = []
    for particle in particles:
        arrays = _checked(particle, atomic_ratio, "atomic_ratio")
        measured = np.all([np.isfinite(a) for a in arrays.values()], axis=0)
        totals = {el: float(a[measured].sum()) for el, a in arrays.items()}
        for element, total in totals.items():
            if total <= 0:
                raise fail(
                    f"intensities of {element}",
                    expected="a positive sum",
                    got=f"{total:g}",
                    remedy="check the maps of this element, or leave it out",
                )
        raw = {el: ratio / totals[el] for el, ratio in atomic_ratio.items()}
        first = next(iter(raw.values()))
        logarithms.append([np.log(value / first) for value in raw.values()])
    means = np.exp(np.mean(logarithms, axis=0))
    return dict(zip(atomic_ratio, map(float, means), strict=True))


@checked
def k_factors_from_cross_sections(
    elements: Sequence[str],
    *,
    window_ev: tuple[float, float] = (350.0, 1200.0),
    beam_energy_kev: float = BEAM_ENERGY_KEV,
) -> dict[str, float]:
    r"""Return k-factors from cross-sections: what to use when nothing of known composition was measured.

    .. math:: k_e = σ_r / σ_e

    with σ the emission cross-section of all lines of the shell that `eds.fit_lines` fits.

    Parameters
    ----------
    elements : sequence of str
        The first has 1.
    window_ev : (float, float), default (350, 1200)
        Where the main line is looked for.
    beam_energy_kev : float, default 300
        Beam energy.

    Returns
    -------
    dict of str to float

    Raises
    ------
    ValueError
        If an element has no line in the window.

    Notes
    -----
    L lines of 3d metals are known to perhaps 20 %, K lines to 5 %; efficiency and absorption are left out.

    Examples
    --------
    >>> {el: round(k, 2) for el, k in k_factors_from_cross_sections(["O", "Mn", "Co", "Ni"]).items()}
    {'O': 1.0, 'Mn': 0.44, 'Co': 0.36, 'Ni': 0.33}
    """
    sigma = {
        element: family_cross_section(element, window_ev=window_ev, beam_energy_kev=beam_energy_kev)
        for element in elements
    }
    return {element: sigma[elements[0]] / value for element, value in sigma.items()}


@checked
def cliff_lorimer(
    intensities: Mapping[str, Any], *, k_factors: Mapping[str, float], min_counts: float = 0.0
) -> dict[str, Floats]:
    r"""Convert X-ray line intensities to atomic fractions in the thin-film limit.

    .. math:: C_i = k_i I_i / \sum_j k_j I_j

    Parameters
    ----------
    intensities : mapping of str to array_like, TiltSeries or Tomogram
        Background-free counts, all of one shape. Negative values are noise and are not clipped.
    k_factors : mapping of str to float
        Of the same elements, positive.
    min_counts : float, default 0
        Points whose summed counts do not exceed this become NaN: not measured is not 0 %.

    Returns
    -------
    dict of str to ndarray of float64
        Fractions that sum to 1 over the elements where finite.

    Raises
    ------
    ValueError
        If the elements or shapes differ, or a k-factor is not positive.

    Notes
    -----
    Neglects absorption and fluorescence. Of single voxels with few counts the ratio is biased and has no variance:
    its denominator may come near zero.

    References
    ----------
    Cliff and Lorimer, J. Microsc. 103, 203 (1975).

    Examples
    --------
    >>> cliff_lorimer({"O": 100.0, "Mn": 50.0}, k_factors={"O": 1.0, "Mn": 2.0})["Mn"].item()
    0.5
    """
    for element, k in k_factors.items():
        check_positive(k, f"k-factor of {element}")
    arrays = _checked(intensities, k_factors, "k_factors")
    check_positive(min_counts, "min_counts", zero_ok=True)
    counts = sum(arrays.values())
    weighted = {el: k_factors[el] * a for el, a in arrays.items()}
    total = np.asarray(sum(weighted.values()))
    measured = (np.asarray(counts) > min_counts) & (total > 0)
    return {el: np.divide(w, total, out=np.full(total.shape, np.nan), where=measured) for el, w in weighted.items()}


def _checked(intensities: Mapping[str, Any], reference: Mapping[str, float], name: str) -> dict[str, Floats]:
    """Intensities as arrays of one shape, for exactly the elements of `reference`, in its order."""
    if set(intensities) != set(reference):
        raise fail(
            name,
            expected=f"the elements of the intensities, {', '.join(map(str, intensities))}",
            got=", ".join(map(str, reference)),
            remedy="give one value per element, and only those",
        )
    arrays = {el: values_of(intensities[el]) for el in reference}
    first = next(iter(arrays))
    for element, array in arrays.items():
        check_shape(
            array,
            f"intensities of {element}",
            arrays[first].shape,
            remedy=f"bring them to the shape of {first}, pixel size included",
        )
    sizes = {
        el: size
        for el, x in intensities.items()
        if (size := getattr(x, "voxel_size_nm", getattr(x, "pixel_size_nm", None))) is not None
    }
    if len(set(sizes.values())) > 1:
        raise fail(
            "intensities",
            expected="one pixel size",
            got=", ".join(f"{el} {size:g} nm" for el, size in sizes.items()),
            remedy="resample the maps to one pixel size first",
        )
    return arrays
