"""Line maps brought into one form: elements, images, covariance between the elements of a pixel.

References
----------
Derived here: covariances of counts, moved and turned with the images.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from .. import alignment as alignments
from .._typing import Floats, Floats32
from .._validation import check_finite, check_shape, checked, fail
from ..containers import TiltSeries

#: Smallest variance of any combination of elements, in squared counts: a pixel without counts is not without noise.
_LEAST_VARIANCE = 1.0


@dataclass(frozen=True, eq=False)
class ElementMaps:
    """Aligned maps of several elements.

    Parameters
    ----------
    elements : tuple of str
    images : ndarray, shape (element, tilt, y, x)
        Signed counts.
    covariance : ndarray, shape (element, element, tilt, y, x)
        Positive definite.
    tilt_angles_deg : ndarray, shape (tilt,)
    pixel_size_nm : float
    """

    elements: tuple[str, ...]
    images: Floats32
    covariance: Floats32
    tilt_angles_deg: Floats
    pixel_size_nm: float


@checked
def element_maps(maps: Any, adf: TiltSeries, *, alignment: alignments.Alignment | None = None) -> ElementMaps:
    """Check maps against the ADF series and each other; align them if asked to.

    Parameters
    ----------
    maps : LineMaps, or mapping of element to TiltSeries
        Line maps bring their covariance. For bare maps it is that of counts: their smoothed values, uncorrelated.
    adf : TiltSeries
        Of the same tilts, shape and pixels.
    alignment : Alignment, optional
        Applied to the maps and their covariance; without it they are taken as aligned.

    Returns
    -------
    ElementMaps

    Raises
    ------
    ValueError
        If angles, shapes or pixel sizes differ, a value is not finite, or a tilt has no counts.

    Examples
    --------
    >>> adf = TiltSeries(np.ones((3, 8, 8)), [-40.0, 0.0, 40.0], 4.63, "ADF")
    >>> checked = element_maps({"O": adf.replace(images=4 * adf.images), "Mn": adf}, adf)
    >>> checked.elements, checked.covariance[:, :, 0, 4, 4].tolist()
    (('O', 'Mn'), [[4.0, 0.0], [0.0, 1.0]])
    """
    series: dict[str, TiltSeries] = dict(maps if isinstance(maps, Mapping) else maps.intensities)
    elements = tuple(series)
    if len(elements) < 2:
        raise fail("maps", expected="two or more elements", got=list(elements), remedy="fit the lines of all elements")
    for element, images in series.items():
        _check_series(element, images, adf)
    raw = getattr(maps, "covariance", None)
    if raw is not None:
        order = [list(maps.elements).index(element) for element in elements]
        covariance = np.moveaxis(np.asarray(raw)[..., order, :][..., order], (-2, -1), (0, 1))
        check_shape(covariance[0, 0], "covariance", np.shape(series[elements[0]].images))
    else:
        smoothed = [ndimage.uniform_filter(np.asarray(s.images, dtype=np.float32), (0, 3, 3)) for s in series.values()]
        covariance = np.zeros((len(elements), *np.shape(smoothed)), dtype=np.float32)
        covariance[np.arange(len(elements)), np.arange(len(elements))] = smoothed
    if alignment is not None:
        series = {element: alignments.apply(images, alignment) for element, images in series.items()}
        covariance = _aligned(covariance, next(iter(series.values())), adf, alignment)
    first = next(iter(series.values()))
    stacked = np.stack([np.asarray(s.images, dtype=np.float32) for s in series.values()])
    return ElementMaps(elements, stacked, _definite(covariance), first.tilt_angles_deg, first.pixel_size_nm)


def _check_series(element: str, images: Any, adf: TiltSeries) -> None:
    what = f"map of {element}"
    if not isinstance(images, TiltSeries):
        got = type(images).__name__
        raise fail(what, expected="a TiltSeries", got=got, remedy="fit the lines of a series", error=TypeError)
    check_shape(images.images, what, np.shape(adf.images), remedy="give ADF and maps of the same scan")
    if not np.allclose(images.tilt_angles_deg, adf.tilt_angles_deg, atol=0.01):
        raise fail(
            f"tilt angles of the {what}",
            expected="those of the ADF series",
            got=images.tilt_angles_deg.tolist(),
            remedy="select the same tilts from both",
        )
    if abs(images.pixel_size_nm / adf.pixel_size_nm - 1) > 1e-3:
        raise fail(
            f"pixel size of the {what}",
            expected=f"{adf.pixel_size_nm:g} nm, as the ADF series",
            got=f"{images.pixel_size_nm:g} nm",
            remedy="bin or resample one of them",
        )
    values = np.asarray(images.images)
    check_finite(values, what, remedy="leave these tilts out of all series")
    empty = np.flatnonzero(~values.any(axis=(1, 2)))
    if empty.size:
        angles = ", ".join(f"{angle:g}" for angle in images.tilt_angles_deg[empty])
        raise fail(what, expected="counts at every tilt", got=f"none at {angles} deg", remedy="leave these tilts out")


def _aligned(covariance: Floats32, aligned: TiltSeries, raw: TiltSeries, alignment: alignments.Alignment) -> Floats32:
    shifted = np.empty((*covariance.shape[:2], *np.shape(aligned.images)), dtype=np.float32)
    for i, j in zip(*np.triu_indices(len(covariance)), strict=True):
        series = TiltSeries(covariance[i, j], raw.tilt_angles_deg, raw.pixel_size_nm)
        shifted[i, j] = shifted[j, i] = alignments.apply(series, alignment).images
    return shifted


def _definite(covariance: Floats32) -> Floats32:
    """Raise the eigenvalues of every pixel's matrix to the least variance: shifts ring, and empty pixels have none."""
    values, vectors = np.linalg.eigh(np.moveaxis(covariance, (0, 1), (-2, -1)).astype(np.float64))
    values = np.maximum(values, _LEAST_VARIANCE)
    matrices = (vectors * values[..., None, :]) @ np.swapaxes(vectors, -1, -2)
    return np.asarray(np.moveaxis(matrices, (-2, -1), (0, 1)), dtype=np.float32)
