"""One factor per tilt that makes the total intensity constant."""

from collections.abc import Mapping, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._validation import check_positive, check_shape, checked, fail
from ..containers import TiltSeries, over_elements
from ._series import Series, map_tilts


@checked
def normalization_factors(maps: TiltSeries | Sequence[TiltSeries] | Mapping[str, TiltSeries]) -> NDArray[np.float64]:
    r"""Estimate one factor per tilt that makes the total intensity constant.

    Parallel projections of a whole specimen hold the same number of atoms at every tilt. X-ray shadowing, absorption
    and lost electrons break that, and with it the tomographic sum rule. As in the paper,

    .. math:: f_t = \frac{1}{n} \sum_e \frac{\langle S_e \rangle}{S_{e,t}}, \qquad S_{e,t} = \sum_{y,x} I_e(t, y, x),

    averaged over the n elements so that the noise of one does not distort the others.

    Parameters
    ----------
    maps : TiltSeries, sequence or mapping of them
        One masked map series per element, images (tilt, y, x), counts. NaN pixels are left out of the sums.

    Returns
    -------
    ndarray of float64, shape (tilt,)
        Dimensionless factors to multiply each tilt with. Their product with the sums of a single series is constant.

    Raises
    ------
    ValueError
        If the series disagree in their angles, or a total is not positive (named by element and angle).

    Notes
    -----
    Valid only if the whole specimen is inside the frame at every tilt; for a needle or a lamella the totals differ by
    geometry.

    References
    ----------
    Supplementary Fig. 11 of the paper this book follows.

    Examples
    --------
    >>> series = TiltSeries(np.array([1.0, 2.0, 4.0])[:, None, None] * np.ones((3, 2, 2)), [-10, 0, 10], 1.0)
    >>> (normalization_factors(series) * [1, 2, 4]).round(12)
    array([2.33333333, 2.33333333, 2.33333333])
    """
    if isinstance(maps, TiltSeries):
        maps = [maps]
    named = (
        list(maps.items()) if isinstance(maps, Mapping) else [(m.label or f"map {i}", m) for i, m in enumerate(maps)]
    )
    if not named:
        raise fail("maps", expected="at least one series", got="none", remedy="give one TiltSeries per element")
    angles = named[0][1].tilt_angles_deg
    factors = np.zeros(angles.size)
    for name, series in named:
        if not np.array_equal(series.tilt_angles_deg, angles):
            raise fail(
                f"tilt_angles_deg of {name}",
                expected=f"the angles of {named[0][0]}",
                got=f"{series.tilt_angles_deg}",
                remedy="use maps of one scan and drop the same tilts from all",
            )
        totals = np.array([np.nansum(np.asarray(image, dtype=np.float64)) for image in series.images])
        if np.any(totals <= 0):
            raise fail(
                f"total of {name}",
                expected="a positive sum at every tilt",
                got=", ".join(f"{t:g} at {a:g} deg" for t, a in zip(totals, angles, strict=True) if t <= 0),
                remedy="leave these tilts or this element out",
            )
        factors += totals.mean() / totals
    return factors / len(named)


@overload
def normalize_tilts(x: Series, factors: ArrayLike) -> Series: ...
@overload
def normalize_tilts(x: Mapping[str, Series], factors: ArrayLike) -> dict[str, Series]: ...
@checked
def normalize_tilts(x: Any, factors: ArrayLike) -> Any:
    """Multiply each tilt with its factor, in any channel.

    Parameters
    ----------
    x : TiltSeries, SpectrumTiltSeries or mapping of element to them
        Images (tilt, y, x) or counts (tilt, y, x, energy), numpy or Dask.
    factors : array_like, shape (tilt,)
        Positive and dimensionless, see `normalization_factors`.

    Returns
    -------
    TiltSeries, SpectrumTiltSeries or dict of them
        Same type; Dask stays lazy.

    Raises
    ------
    ValueError
        If there is not one finite positive factor per tilt.

    Examples
    --------
    >>> normalize_tilts(TiltSeries(np.ones((2, 1, 1)), [0, 10], 1.0), [1, 2]).images.ravel()
    array([1., 2.])
    """
    if isinstance(x, Mapping):
        return over_elements(x, lambda series: normalize_tilts(series, factors))
    if not hasattr(x, "n_tilts"):
        raise fail("x", expected="a tilt series", got=f"{x!r:.60}", remedy="wrap it: TiltSeries(...)", error=TypeError)
    values = np.asarray(factors, dtype=np.float64)
    check_shape(values, "factors", (x.n_tilts,), remedy="give one factor per tilt")
    for value in values:
        check_positive(value, "factors", remedy="leave out tilts without signal instead of scaling them")
    return map_tilts(x, lambda tilt, i: tilt * tilt.dtype.type(values[i]))
