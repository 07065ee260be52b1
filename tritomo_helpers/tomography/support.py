"""Where the specimen may be, from its outline at every tilt."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .._typing import Bools, Floats
from .._validation import checked, fail
from ..containers import TiltSeries
from ..projection import Projector
from .problem import check_problem

#: Share of the counts that may lie outside the particle: grid, film and a soft rim.
_LARGEST_SHARE_OUTSIDE = 0.2


@checked
def support_from_masks(masks: TiltSeries, *, margin_px: int = 2, n_z: int | None = None) -> Bools:
    """Return the voxels that fall inside the mask at every tilt, widened by a margin.

    Parameters
    ----------
    masks : TiltSeries
        Images that are zero outside the specimen, such as Otsu masks of an aligned ADF series. NaN (not measured)
        excludes nothing.
    margin_px : int, default 2
        Voxels added all around: a mask that cuts the rim of the specimen would spoil the whole reconstruction.
    n_z : int, optional
        Depth in voxels; by default the width of the images.

    Returns
    -------
    ndarray of bool, shape (z, y, x)

    Raises
    ------
    ValueError
        If no voxel is inside all masks, or the margin is not a whole number of zero or above.

    Examples
    --------
    >>> square = np.zeros((1, 5, 5))
    >>> square[0, 1:4, 1:4] = 1
    >>> support = support_from_masks(TiltSeries(square, [0.0], 4.63), margin_px=0)
    >>> support.shape, int(support.sum())
    ((5, 5, 5), 45)
    """
    if isinstance(margin_px, bool) or not isinstance(margin_px, int | np.integer) or margin_px < 0:
        raise fail("margin_px", expected="a whole number, zero or above", got=repr(margin_px), remedy="give voxels")
    problem = check_problem(masks, support=None, n_z=n_z)
    outside = (problem.images == 0).astype(np.float32)
    if problem.weights is not None:
        outside *= problem.weights > 0
    # most of a voxel outside at one tilt is enough to leave it out
    covered = np.ones(problem.shape, dtype=bool)
    for tilt in range(problem.n_tilts):
        covered &= problem.projector.subset([tilt]).adjoint(outside[[tilt]]) < 0.5
    if not covered.any():
        raise fail(
            "masks", expected="a voxel inside all of them", got="none", remedy="align the series, widen the masks"
        )
    if margin_px:
        covered = ndimage.binary_dilation(covered, iterations=margin_px)
    return np.asarray(covered, dtype=bool)


def check_covers(mask: Bools, images: NDArray[Any], tilt_angles_deg: Floats) -> None:
    """Raise ValueError where much of what images show lies outside the outline of the mask.

    Parameters
    ----------
    mask : ndarray of bool, shape (z, y, x)
    images : ndarray, shape (tilt, y, x)
        Aligned counts, signed.
    tilt_angles_deg : ndarray, shape (tilt,)

    Examples
    --------
    >>> ball = np.sum(np.square(np.indices((9, 9, 9)) - 4), axis=0) < 12
    >>> images = Projector(np.zeros(1), (9, 9)).forward(ball.astype(np.float32))
    >>> check_covers(ball, images, np.zeros(1))
    """
    projector = Projector(tilt_angles_deg, (mask.shape[0], mask.shape[2]), n_pixels=images.shape[2])
    outline = projector.forward(mask.astype(np.float32)) > 0
    total = np.asarray(images, dtype=np.float64)
    missed = 1 - total[outline].sum() / total.sum()
    if missed > _LARGEST_SHARE_OUTSIDE:
        raise fail(
            "mask",
            expected="a particle that covers the maps",
            got=f"{missed:.0%} of the counts outside its outline",
            remedy="align the maps with the ADF tomogram's shifts, or mask what is not the particle",
        )
