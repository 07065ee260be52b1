"""Cases to compare methods on: a rough multi-grain particle known analytically, or a file of your own."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tritomo_helpers.containers import TiltSeries

Density = Callable[[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Case:
    """A particle with known truth, and its images at three doses.

    Parameters
    ----------
    truth : ndarray, shape (z, y, x)
    support : ndarray of bool, shape (z, y, x)
        The truth widened by 3 voxels.
    series : dict of str to TiltSeries
        ``"clean"``, ``"ADF"`` and ``"EDS"``.
    counts_per_unit : dict of str to float
        Counts per unit of the images, for the noisy ones.
    """

    truth: NDArray[np.float32]
    support: NDArray[np.bool_]
    series: dict[str, TiltSeries]
    counts_per_unit: dict[str, float]


PEAK_COUNTS = {"ADF": 2000, "EDS": 50}


def load(path: str | Path) -> Case:
    """Read a case from an npz file with axes (x, y, z), angles in degrees, and three sets of projections."""
    with np.load(path) as data:

        def turned(name: str) -> NDArray[np.float32]:
            return np.ascontiguousarray(data[name].transpose(2, 1, 0))

        names = {"clean": "projections", "ADF": "projections_adf", "EDS": "projections_eds"}
        series = {k: TiltSeries(turned(v).astype(np.float32), data["angles"], 1.0, k) for k, v in names.items()}
        peak = float(data["projections"].max())
        return Case(
            turned("volume").astype(np.float32),
            turned("support").astype(bool),
            series,
            {k: counts / peak for k, counts in PEAK_COUNTS.items()},
        )


def generate(
    seed: int,
    *,
    size: int = 64,
    gradient: float = 0.0,
    n_grains: int = 14,
    angles_deg: NDArray[np.float64] | None = None,
) -> Case:
    """Make a rough particle of several grains, evaluated on a three times finer grid for the volume and for each image.

    Parameters
    ----------
    seed : int
    size : int, default 64
        Voxels and pixels per side.
    gradient : float, default 0
        How much the density falls smoothly from one side of the particle to the other, as a share.
    n_grains : int, default 14
    angles_deg : ndarray, optional
        -70 to 70 by 10 degrees by default.
    """
    from scipy import ndimage

    rng = np.random.default_rng(seed)
    angles = np.arange(-70.0, 71.0, 10.0) if angles_deg is None else angles_deg
    density = _rough_particle(rng, 0.34 * size, gradient, n_grains)
    fine = 3
    axis = ((np.arange(size * fine) + 0.5) / fine - 0.5 - size // 2).astype(np.float32)
    truth = np.empty((size, size, size), dtype=np.float32)
    for i in range(size):  # one voxel layer at a time keeps the memory small
        z, y, x = np.meshgrid(axis[i * fine : (i + 1) * fine], axis, axis, indexing="ij")
        truth[i] = density(x, y, z).reshape(fine, size, fine, size, fine).mean(axis=(0, 2, 4))
    images = np.empty((len(angles), size, size), dtype=np.float32)
    along = axis[np.abs(axis) < 0.47 * size]
    for image, angle in zip(images, np.deg2rad(angles), strict=True):
        cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        for i in range(size):
            s, y, u = np.meshgrid(along, axis[i * fine : (i + 1) * fine], axis, indexing="ij")
            rays = density(u * cosine + s * sine, y, s * cosine - u * sine).sum(axis=0) / fine
            image[i] = rays.reshape(fine, size, fine).mean(axis=(0, 2))
    peak = float(images.max())
    series = {"clean": TiltSeries(images, angles, 1.0, "clean")}
    per_unit = {k: counts / peak for k, counts in PEAK_COUNTS.items()}
    for name, scale in per_unit.items():
        noisy = (rng.poisson(images * scale) / scale).astype(np.float32)
        series[name] = TiltSeries(noisy, angles, 1.0, name)
    return Case(truth, ndimage.binary_dilation(truth > 0, iterations=3), series, per_unit)


def _rough_particle(rng: np.random.Generator, radius: float, gradient: float, n_grains: int) -> Density:
    """Density of grains with flat faces between them, inside a bumpy ellipsoid."""
    axes = radius * rng.uniform(0.75, 1.05, 3).astype(np.float32)
    waves = rng.normal(0, 1, (9, 3)).astype(np.float32)
    waves *= (rng.uniform(3, 9, (9, 1)) / np.linalg.norm(waves, axis=1, keepdims=True)).astype(np.float32)
    phases = rng.uniform(0, 2 * np.pi, 9).astype(np.float32)
    heights = (0.05 * rng.standard_normal(9)).astype(np.float32)
    seeds = (rng.uniform(-0.8, 0.8, (n_grains, 3)) * axes).astype(np.float32)
    levels = rng.uniform(0.8, 1.15, n_grains).astype(np.float32)
    slope = rng.normal(0, 1, 3)
    slope = (gradient * slope / np.linalg.norm(slope) / (2 * radius)).astype(np.float32)

    def density(x: NDArray[np.float32], y: NDArray[np.float32], z: NDArray[np.float32]) -> NDArray[np.float32]:
        result = np.zeros(x.shape, dtype=np.float32)
        near = (x / axes[0]) ** 2 + (y / axes[1]) ** 2 + (z / axes[2]) ** 2 < 2.0
        p = np.stack([x[near], y[near], z[near]], axis=1)
        scaled = p / axes
        length = np.linalg.norm(scaled, axis=1)
        direction = scaled / np.maximum(length, np.float32(1e-6))[:, None]
        surface = 1 + np.cos(direction @ waves.T + phases) @ heights
        # the nearest seed: |p - s|^2 without the part that is the same for all
        grain = np.argmin((seeds**2).sum(axis=1) - 2 * p @ seeds.T, axis=1)
        result[near] = np.where(length < surface, levels[grain] * (1 + p @ slope), 0)
        return result

    return density
