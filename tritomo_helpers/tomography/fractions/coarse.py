"""The same measurement on voxels of twice the size: an eighth of the work, enough to choose smooth settings."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._typing import Floats32
from ..._validation import checked, fail
from .data import FractionData


@checked
def may_be_halved(data: FractionData, *, shortest_length_nm: float) -> bool:
    """Whether voxels of twice the size still resolve a length, and the grid can be halved about the tilt axis.

    Examples
    --------
    >>> density = np.ones((8, 8, 8), np.float32)
    >>> unit = np.eye(2)[:, :, None, None, None] * np.ones((1, 8, 8))
    >>> half = np.array([0.5, 0.5])
    >>> data = FractionData(np.ones((2, 1, 8, 8)), unit, np.zeros(1), density, density > 0, half, np.ones((2, 1)))
    >>> may_be_halved(data, shortest_length_nm=2.0), may_be_halved(data, shortest_length_nm=1.0)
    (True, False)
    """
    n_z, n_y, n_x = data.density.shape
    alike = data.weights is None and data.density_error_length_nm is None and data.contrast is None
    # A Gaussian is sampled well in steps of its length.
    resolved = 2 * data.voxel_size_nm <= 1.05 * shortest_length_nm
    return alike and resolved and n_z % 4 == 0 and n_x % 4 == 0 and n_y % 2 == 0


@checked
def halved(
    data: FractionData, splits: Sequence[tuple[NDArray[Any], NDArray[Any]]] = ()
) -> tuple[FractionData, list[tuple[Floats32, Floats32]]]:
    r"""Average a measurement over two pixels along the tilt axis, and over 1/4, 1/2, 1/4 across the tilt axis.

    Weights of 1/4, 1/2, 1/4 about every second pixel leave the axis in the middle of one, where an average of pairs
    would move it by half a pixel. Images enter as their departure from the constant map, so that edges of the density,
    which the coarse grid cannot follow, cost nothing.

    Parameters
    ----------
    data : FractionData
        Of even shape, with a tilt axis that stays on the grid: see `may_be_halved`.
    splits : sequence of (ndarray, ndarray), shape (element, tilt, y, x)
        Images to fit and to judge by, in the unit of `data`, such as `split_by_fission` makes of `data`.

    Returns
    -------
    data : FractionData
        With voxels of twice the size.
    splits : list of (ndarray, ndarray)

    Raises
    ------
    ValueError
        If the grid cannot be halved.

    Examples
    --------
    >>> density = np.ones((8, 8, 8), np.float32)
    >>> unit = np.eye(2)[:, :, None, None, None] * np.ones((1, 8, 8))
    >>> half = np.array([0.5, 0.5])
    >>> data = FractionData(np.ones((2, 1, 8, 8)), unit, np.zeros(1), density, density > 0, half, np.ones((2, 1)))
    >>> halved(data)[0].images.shape
    (2, 1, 4, 4)
    """
    if not may_be_halved(data, shortest_length_nm=np.inf):
        raise fail(
            "data",
            expected="no weights, contrast or field of density errors, and z and x divisible by 4, y by 2",
            got=f"a density of {data.density.shape}",
            remedy="choose the settings on the data as they are",
        )
    constant = data.expected()
    coarse = FractionData(
        np.zeros((*constant.shape[:2], constant.shape[2] // 2, constant.shape[3] // 2), dtype=np.float32),
        # A quarter is right for slow variations, which are what is searched; fast ones have a little less.
        _of_images(data.covariance) / np.float32(4),
        data.tilt_angles_deg,
        _of_volume(data.density),
        _of_volume(data.mask.astype(np.float32)) > 0.5,
        data.mean_fractions,
        2 * data.gains,
        density_error=data.density_error,
        voxel_size_nm=2 * data.voxel_size_nm,
        slices=data.slices,
    )
    coarse_constant = coarse.expected()

    def converted(images: NDArray[Any]) -> Floats32:
        return _of_images(images - constant) + coarse_constant

    return (
        coarse.replace(images=converted(data.images)),
        [(converted(to_fit), converted(to_judge)) for to_fit, to_judge in splits],
    )


def _of_images(images: NDArray[Any]) -> Floats32:
    return _about_every_second(_pairs(images, -2), -1)


def _of_volume(volume: NDArray[Any]) -> Floats32:
    return _about_every_second(_about_every_second(_pairs(volume, 1), 0), 2)


def _pairs(values: NDArray[Any], axis: int) -> NDArray[Any]:
    along = np.moveaxis(values, axis, 0)
    return np.moveaxis(0.5 * (along[::2] + along[1::2]), 0, axis)


def _about_every_second(values: NDArray[Any], axis: int) -> Floats32:
    along = np.moveaxis(values, axis, 0)
    # n values and a zero before them: the middle of each average is a value of even index.
    padded = np.concatenate([np.zeros_like(along[:1]), along])
    averaged = 0.25 * padded[:-1:2] + 0.5 * padded[1::2] + 0.25 * padded[2::2]
    return np.ascontiguousarray(np.moveaxis(averaged, 0, axis), dtype=np.float32)
