"""Metal-rich clusters: smooth-edged balls, larger than a voxel, twice as frequent at the surface as on average."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .._typing import Floats

EDGE_NM = 2.0
"""Half width of a cluster's smooth edge."""
SURFACE_DEPTH_NM = 4.63
"""The outermost voxel layer of the published scan: where "at the surface" is measured."""


@dataclass(frozen=True)
class Size:
    """How large clusters may become.

    Parameters
    ----------
    separation_nm : float
        No two centers are closer, so that clusters never touch and each stays countable.
    volume_nm3 : float
        Rich volume of a typical one, which decides how many there are.
    """

    separation_nm: float
    volume_nm3: float

    @property
    def largest_radius_nm(self) -> float:
        """Radius at which two could touch."""
        return self.separation_nm / 2 - EDGE_NM


SMALL = Size(25.0, 1100.0)
"""A ball of 6.4 nm radius, 11 voxels of the published scan."""
LARGE = Size(34.0, 5400.0)
"""A ball of 11.5 nm radius, less a third for those that the surface cuts."""


@dataclass(frozen=True, eq=False)
class Clusters:
    """Balls that are rich in one metal.

    Parameters
    ----------
    centers_nm, radii_nm : array, shapes (n, 3) and (n,)
        (x, y, z) of the centers; radius at half height.
    metal : array of int, shape (n,)
        0 Mn, 1 Co, 2 Ni.
    """

    centers_nm: Floats
    radii_nm: Floats
    metal: NDArray[np.int64]

    @classmethod
    def none(cls) -> "Clusters":
        """Return no clusters at all."""
        return cls(np.empty((0, 3)), np.empty(0), np.empty(0, dtype=np.int64))

    def with_more(self, centers_nm: Floats, radii_nm: Floats, metal: int) -> "Clusters":
        """Return these and others, of one metal."""
        return Clusters(
            np.concatenate([self.centers_nm, centers_nm]),
            np.concatenate([self.radii_nm, radii_nm]),
            np.concatenate([self.metal, np.full(len(radii_nm), metal)]),
        )

    def profiles(self, points_nm: Floats) -> Floats:
        """Return the profile of the clusters of Mn, Co and Ni at points (n, 3), shape (3, n)."""
        found = np.zeros((3, len(points_nm)))
        if self.radii_nm.size == 0:
            return found
        from scipy.spatial import cKDTree

        # Clusters never touch, so the nearest one is the only one that can hold a point.
        reach = float(self.radii_nm.max()) + EDGE_NM
        distance, nearest = cKDTree(self.centers_nm).query(points_nm, distance_upper_bound=reach)
        held = np.flatnonzero(np.isfinite(distance))
        which = nearest[held]
        found[self.metal[which], held] = edge_profile(distance[held], self.radii_nm[which])
        return found


def edge_profile(distance_nm: Floats, radius_nm: Floats | float) -> Floats:
    """Return 1 inside, 0 outside and a smooth step over `EDGE_NM` on both sides of the radius."""
    s = np.clip((radius_nm - distance_nm) / (2 * EDGE_NM) + 0.5, 0, 1)
    return np.asarray(s * s * (3 - 2 * s))


def place(
    rng: np.random.Generator,
    points_nm: Floats,
    depth_nm: Floats,
    *,
    numbers: tuple[int, int],
    decay_nm: float,
    taken_nm: Floats,
    size: Size = SMALL,
) -> Floats:
    """Choose centers: half of them in the outermost 5 nm, the others ever rarer with depth.

    Parameters
    ----------
    rng : numpy.random.Generator
        Breaks ties between points of the wanted depth.
    points_nm, depth_nm : array, shapes (n, 3) and (n,)
        Points that sample the inside evenly, and how deep they lie.
    numbers : (int, int)
        How many of either kind.
    decay_nm : float
        Depth over which the frequency of the others falls to 1/e.
    taken_nm : array, shape (m, 3)
        Centers to keep away from.
    size : Size
        How far from each other.

    Returns
    -------
    array, shape (sum of numbers, 3)
        Surface clusters first.
    """
    n_surface, n_bulk = numbers
    weights = np.where(depth_nm > 14, np.exp(-depth_nm / decay_nm), 0)
    order = np.argsort(depth_nm)
    cumulative = np.cumsum(weights[order]) / weights.sum()
    wanted = [1 + 4 * (i + 0.5) / n_surface for i in range(n_surface)]
    wanted += [float(depth_nm[order][np.searchsorted(cumulative, (i + 0.5) / n_bulk)]) for i in range(n_bulk)]
    free = np.ones(len(points_nm), dtype=bool)
    for center in taken_nm:
        free &= _apart(points_nm, center, size)
    chosen = []
    for depth in wanted:
        if not free.any():
            raise RuntimeError("no room for another cluster: the particle is too small for its rich volume")
        # The closest in depth among all free points, with a random tie-break of 1 nm.
        score = np.abs(depth_nm - depth) + rng.uniform(0, 1, len(points_nm)) + np.where(free, 0, np.inf)
        chosen.append(points_nm[int(np.argmin(score))])
        free &= _apart(points_nm, chosen[-1], size)
    return np.array(chosen).reshape(-1, 3)


def _apart(points_nm: Floats, center_nm: Floats, size: Size) -> NDArray[np.bool_]:
    offset = points_nm - center_nm
    return np.asarray(np.einsum("ij,ij->i", offset, offset) > size.separation_nm**2)


def solve_radius(volume: Callable[[float], float], target: float, *, size: Size = SMALL) -> float:
    """Return the radius, from 1 nm to the largest of that size, at which a growing volume reaches the target."""
    low, high = 1.0, size.largest_radius_nm
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if volume(middle) < target else (low, middle)
    return (low + high) / 2
