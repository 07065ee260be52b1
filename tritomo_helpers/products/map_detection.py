"""Clusters looked for in maps of composition, by the values at their places: what a matched filter is held against."""

import numpy as np
from numpy.typing import NDArray

from .._typing import Floats, Floats32
from ..fusion import Detection
from .draws import detected


def recall_of_values(
    volumes: Floats32, centers_nm: Floats, metal: NDArray[np.int64], *, radius_nm: float, voxel_size_nm: float
) -> Floats:
    """Share of true clusters whose center is among the largest values of the map of their metal.

    Parameters
    ----------
    volumes : ndarray, shape (4, z, y, x)
        Any score of O and the three metals; NaN outside the particle.
    centers_nm, metal : ndarray, shapes (n, 3) and (n,)
        True clusters: (x, y, z), nm, and 0 Mn, 1 Co, 2 Ni.
    radius_nm : float
        Of the largest one.
    voxel_size_nm : float

    Returns
    -------
    ndarray, shape (false rate,)
        At the values that `draws.FALSE_RATES` of the voxels without a cluster exceed.
    """
    null = volumes[None, 1:, np.isfinite(volumes[1])]
    found = detected(
        Detection(volumes, null, radius_nm, {radius_nm: 0.0}),
        centers_nm,
        metal,
        radius_nm=radius_nm,
        voxel_size_nm=voxel_size_nm,
    )
    n_clusters = np.bincount(metal, minlength=3)
    return np.asarray(n_clusters / n_clusters.sum() @ found["recall_at_rate"])
