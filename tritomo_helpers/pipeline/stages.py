"""The steps from an ADF tilt series to a particle; each takes and returns what can be stored."""

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .. import alignment, particles, tilt_series, tomography
from .._typing import Bools, Floats, Floats32
from ..alignment import Alignment
from ..containers import TiltSeries, Tomogram

LARGE_PX = 128
"""Images wider than this are reconstructed by SIRT instead of total variation, which would take hours."""

LIMITS = (
    "ADF is taken as proportional to matter: plural scattering makes the core of a 160 nm particle some 17 % too dense",
    "the resolution of the tomogram blurs the outermost shells, so that their density falls toward the surface",
)
"""What holds for every result, to be read beside it."""

PAPER_GENFIRE = tomography.Genfire(oversampling=3, interpolation_radius_px=0.1, n_iterations=1000)


@dataclass(frozen=True, eq=False)
class Aligned:
    """The ADF series on its tilt axis, without the vacuum level."""

    series: TiltSeries
    support: Bools
    alignment: Alignment
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Density:
    """The ADF tomogram, in units of its mean inside the particle."""

    values: Floats32
    voxel_size_nm: float
    unit_counts: float
    method: str
    choices: tuple[str, ...]
    r_factor: Floats
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Particle:
    """Mask and shells, and the density of each shell."""

    shells: NDArray[np.int64]
    volume_nm3: float
    largest_extent_nm: float
    depth_nm: Floats
    n_voxels: NDArray[np.int64]
    density_mean: Floats
    density_sd: Floats
    warnings: tuple[str, ...] = ()


def align(adf: TiltSeries) -> Aligned:
    """Mask the specimen, take the vacuum level off, and bring every tilt onto the axis."""
    said: list[str] = []
    masks = tilt_series.otsu_masks(adf)
    levels = [tilt_series.background_level(image, mask)[0] for image, mask in zip(adf.images, masks, strict=True)]
    clean = adf.replace(images=np.where(masks, adf.images - np.array(levels)[:, None, None], 0).astype(np.float32))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        estimated = alignment.estimate(adf)
    said += [str(warning.message) for warning in caught]
    said += [f"tilt {angle:g} deg left out: {why}" for angle, why in estimated.failures.items()]
    series = alignment.apply(clean, estimated, drop=True)
    support = tomography.support_from_masks(series.replace(images=tilt_series.otsu_masks(series)))
    if estimated.extended:
        said.append(f"the frame cuts the specimen {estimated.extended} the tilt axis: densities near the cut are wrong")
    return Aligned(series, np.asarray(support), estimated, tuple(dict.fromkeys(said)))


def reconstruct(aligned: Aligned, *, method: str) -> Density:
    """Reconstruct the density: as the paper did, or by total variation with its weight chosen on tilts set aside."""
    from skimage.filters import threshold_otsu

    said = []
    settings: tomography.Method
    if method == "paper":
        settings = PAPER_GENFIRE
    elif max(aligned.series.images.shape[1:]) > LARGE_PX:
        settings = tomography.Sirt(n_iterations=30)
        said.append(f"images wider than {LARGE_PX} pixels: 30 iterations of SIRT instead of total variation")
    else:
        settings = tomography.TotalVariation(n_folds=1)
    result = tomography.reconstruct(aligned.series, method=settings, support=aligned.support)
    values = np.asarray(result.tomogram.values)
    seen = values[np.isfinite(values)]
    unit = float(seen[seen > threshold_otsu(seen)].mean())
    choices = tuple(f"{name} = {choice.value:g}: {choice.why}" for name, choice in result.choices.items())
    return Density(
        (values / unit).astype(np.float32),
        aligned.series.pixel_size_nm,
        unit,
        f"{type(settings).__name__} {settings.as_dict()}",
        choices + tuple(result.notes),
        np.asarray(result.r_factor, dtype=np.float64),
        tuple(said),
    )


def measure(density: Density) -> Particle:
    """Find the particle by Otsu's threshold in 3D, peel it into shells and average the density over each."""
    tomogram = Tomogram(density.values, density.voxel_size_nm, "relative density")
    mask = particles.otsu_mask(tomogram)
    shells = particles.shells(mask)
    profile = particles.depth_profile(tomogram, shells)
    said = []
    faces = [mask.take(end, axis=axis).any() for axis in range(3) for end in (0, -1)]
    if any(faces):
        said.append("the particle touches the border of the volume: its outermost shell there is no surface")
    points = np.asarray(np.argwhere(shells == 1) * density.voxel_size_nm, dtype=np.float64)
    return Particle(
        shells,
        float(mask.sum() * density.voxel_size_nm**3),
        _largest_extent(points) + density.voxel_size_nm,
        profile.depth_nm,
        profile.n,
        profile.mean,
        profile.sd,
        tuple(said),
    )


def _largest_extent(points: Floats) -> float:
    """Return the largest distance between two of many points: one of the hull is the farthest in some direction."""
    directions = np.array(
        [(x, y, z) for x in range(-4, 5) for y in range(-4, 5) for z in range(5) if x or y or z], float
    )
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    along = points @ directions.T
    return float(np.max(along.max(axis=0) - along.min(axis=0)))
