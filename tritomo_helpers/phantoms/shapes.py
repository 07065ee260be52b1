"""Shapes as functions: how deep a point lies below the surface, for any point in space."""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from .._typing import Floats

EDGE_WIDTH_NM = 5.0
"""The density falls from full to zero over this depth. Ours: as soft as one voxel, so that point samples, voxel sums
and ray sums agree; a real surface is sharper, but steps, a disordered rim and the probe blur it to about this."""

# Directions on which extents and the surface are measured: about 2 degrees apart.
_N_DIRECTIONS = 10_000


def fibonacci_directions(n: int) -> Floats:
    """Return `n` nearly even unit vectors, shape (n, 3), by the golden-angle spiral.

    Examples
    --------
    >>> np.round(np.linalg.norm(fibonacci_directions(3), axis=1), 12)
    array([1., 1., 1.])
    """
    index = np.arange(n) + 0.5
    z = 1 - 2 * index / n
    azimuth = np.pi * (1 + 5**0.5) * index
    radius = np.sqrt(1 - z**2)
    return np.stack([radius * np.cos(azimuth), radius * np.sin(azimuth), z], axis=1)


def coverage(depth_nm: Floats) -> Floats:
    """Return the share of full density at a depth below the surface: 0 outside, 1/2 on it, 1 inside.

    A smooth step, 3 s² - 2 s³ with s = depth / width + 1/2 clipped to 0..1.
    """
    s = np.clip(depth_nm / EDGE_WIDTH_NM + 0.5, 0, 1)
    return s * s * (3 - 2 * s)


class Shape(Protocol):
    """What a specimen needs of its shape."""

    @property
    def half_spaces(self) -> tuple[Floats, Floats]:
        """Normals (n, 3) and offsets (n,) of a convex body that holds the shape and its soft edge."""

    @property
    def surface_nm(self) -> Floats:
        """Points of the surface, shape (n, 3), dense enough to measure extents."""

    def depth(self, points_nm: Floats) -> Floats:
        """Depth below the surface, nm, positive inside, at points (n, 3)."""


@dataclass(frozen=True, eq=False)
class Polyhedron:
    r"""A faceted, rough, star-shaped body.

    .. math:: d(p) = \min_k [h_k s(\hat p) - n_k \cdot p], \qquad
        s(\hat p) = 1 + \sum_j a_j \cos(q_j \cdot \hat p + \varphi_j)

    Half-spaces :math:`n_k \cdot p \le h_k` make the facets; :math:`s`, a wave on the unit sphere, makes them rough.

    Parameters
    ----------
    normals, offsets_nm : array, shapes (n_facets, 3) and (n_facets,)
        Facets about `center_nm`.
    wave_vectors, amplitudes, phases : array, shapes (n_waves, 3), (n_waves,), (n_waves,)
        Roughness, dimensionless and radian.
    center_nm : array, shape (3,)
        Position (x, y, z) of the origin of the facets.
    """

    normals: Floats
    offsets_nm: Floats
    wave_vectors: Floats
    amplitudes: Floats
    phases: Floats
    center_nm: Floats

    def stretch(self, directions: Floats) -> Floats:
        """Return s for unit vectors of shape (n, 3)."""
        # Single precision: four times faster, and 1e-7 of 100 nm does not matter.
        phase = directions.astype(np.float32) @ self.wave_vectors.T.astype(np.float32) + self.phases.astype(np.float32)
        return np.asarray(1 + np.cos(phase) @ self.amplitudes)

    def depth(self, points_nm: Floats) -> Floats:
        """Depth below the surface, nm, at points (n, 3)."""
        p = points_nm - self.center_nm
        # The direction of the center itself is undefined; there, deep inside, the roughness may take any value.
        directions = p / np.maximum(np.linalg.norm(p, axis=1), 1.0)[:, None]
        s = self.stretch(directions)
        depth: Floats = self.offsets_nm[0] * s - p @ self.normals[0]
        for normal, offset in zip(self.normals[1:], self.offsets_nm[1:], strict=True):
            np.minimum(depth, offset * s - p @ normal, out=depth)
        return depth

    @cached_property
    def surface_nm(self) -> Floats:
        """Points of the surface, one per direction."""
        directions = fibonacci_directions(_N_DIRECTIONS)
        radii = 1 / np.max((directions @ self.normals.T) / self.offsets_nm, axis=1)
        return np.asarray(directions * (radii * self.stretch(directions))[:, None] + self.center_nm)

    @property
    def half_spaces(self) -> tuple[Floats, Floats]:
        """The facets, moved outward by the largest possible roughness and the soft edge."""
        largest = 1 + np.abs(self.amplitudes).sum()
        return self.normals, np.asarray(self.offsets_nm * largest + EDGE_WIDTH_NM + self.normals @ self.center_nm)


@dataclass(frozen=True, eq=False)
class Balls:
    """Separate balls, whose projections are known in closed form (a test object).

    Parameters
    ----------
    centers_nm, radii_nm : array, shapes (n, 3) and (n,)
        (x, y, z) of the centers; the balls must not overlap.
    """

    centers_nm: Floats
    radii_nm: Floats

    def depth(self, points_nm: Floats) -> Floats:
        """Depth below the nearest surface, nm, at points (n, 3)."""
        distances = np.linalg.norm(points_nm[:, None, :] - self.centers_nm, axis=2)
        return np.asarray((self.radii_nm - distances).max(axis=1))

    @cached_property
    def surface_nm(self) -> Floats:
        """Points of all surfaces."""
        directions = fibonacci_directions(1000)
        return (self.centers_nm[:, None] + self.radii_nm[:, None, None] * directions).reshape(-1, 3)

    @property
    def half_spaces(self) -> tuple[Floats, Floats]:
        """The box around all balls."""
        normals = np.concatenate([np.eye(3), -np.eye(3)])
        reach = (self.centers_nm @ normals.T + self.radii_nm[:, None]).max(axis=0)
        return normals, reach + EDGE_WIDTH_NM


def largest_feret_nm(surface_nm: Floats) -> float:
    """Return the largest distance between parallel planes that touch the surface points (n, 3), nm."""
    spans = [np.ptp(surface_nm @ direction) for direction in fibonacci_directions(600)]
    return float(max(spans))


def rough_polyhedron(rng: np.random.Generator, *, feret_nm: float) -> Polyhedron:
    """Draw a particle: 18 facets, slightly flattened, with waves of about 1.5 % r.m.s. on them.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the shape.
    feret_nm : float
        Largest Feret diameter to reach, nm.

    Returns
    -------
    Polyhedron
        Its bounding box is centered on the origin.
    """
    n_facets, n_waves = 18, 14
    rotation = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    normals = fibonacci_directions(n_facets) + 0.25 * rng.standard_normal((n_facets, 3))
    normals = (normals / np.linalg.norm(normals, axis=1, keepdims=True)) @ rotation.T
    # Three unequal axes: the offsets follow an ellipsoid, then scatter.
    axes = np.array([1.0, rng.uniform(0.88, 0.98), rng.uniform(0.78, 0.9)])
    offsets = np.linalg.norm(normals @ rotation * axes, axis=1) * rng.uniform(0.9, 1.0, n_facets)
    waves = rng.standard_normal((n_waves, 3))
    waves *= (rng.uniform(5, 14, n_waves) / np.linalg.norm(waves, axis=1))[:, None]
    amplitudes = np.full(n_waves, 0.0055)
    phases = rng.uniform(0, 2 * np.pi, n_waves)
    unit = Polyhedron(normals, offsets, waves, amplitudes, phases, np.zeros(3))
    surface = unit.surface_nm
    scale = feret_nm / largest_feret_nm(surface)
    middle = (surface.max(axis=0) + surface.min(axis=0)) / 2 * scale
    return Polyhedron(normals, offsets * scale, waves, amplitudes, phases, -middle)
