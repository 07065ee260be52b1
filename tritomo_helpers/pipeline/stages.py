"""The steps from an ADF tilt series to a particle; each takes and returns what can be stored."""

import warnings
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from .. import alignment, particles, tilt_series, tomography, valence
from .._typing import Bools, Floats, Floats32
from ..alignment import Alignment
from ..constants import NCM111_FORMULA_UNITS_PER_NM3, NCM111_MEAN_FREE_PATH_NM
from ..containers import SpectrumTiltSeries, TiltSeries, Tomogram
from ..spectroscopy import elastic

LARGE_PX = 128
"""Images wider than this are reconstructed by SIRT instead of total variation, which would take hours."""

VISIBLE_ATOMS_PER_NM3 = 3 * NCM111_FORMULA_UNITS_PER_NM3
"""Of LiNi1/3Co1/3Mn1/3O2: all atoms but lithium, which X-rays do not show."""

PROPORTIONAL = (
    "ADF is taken as proportional to matter: plural scattering makes the core of a 160 nm particle some 17 % too dense"
)
BLURRED = "the resolution of the tomogram blurs the outermost shells, so that their density falls toward the surface"
"""What limits a density."""

Raw = TypeVar("Raw", TiltSeries, SpectrumTiltSeries)
PAPER_GENFIRE = tomography.Genfire(oversampling=3, interpolation_radius_px=0.1, n_iterations=1000)


@dataclass(frozen=True, eq=False)
class Aligned:
    """The ADF series on its tilt axis, without the vacuum level."""

    series: TiltSeries
    support: Bools
    alignment: Alignment
    warnings: tuple[str, ...] = ()

    def kept(self, series: Raw) -> Raw:
        """Return the tilts of a raw series that have a shift."""
        return tilt_series.select_tilts(series, self.alignment.aligned)

    @property
    def of_kept(self) -> Alignment:
        """The alignment of these tilts alone."""
        there = self.alignment.aligned
        return replace(
            self.alignment,
            shifts_px=self.alignment.shifts_px[there],
            tilt_angles_deg=self.alignment.tilt_angles_deg[there],
            failures={},
            residuals=np.empty(0),
        )


@dataclass(frozen=True, eq=False)
class Density:
    """The ADF tomogram, in units of its mean inside the particle.

    ``atoms_per_nm3`` is that mean in atoms that X-rays show: measured where the low loss gave the beam, else that of
    LiNi1/3Co1/3Mn1/3O2.
    """

    values: Floats32
    voxel_size_nm: float
    atoms_per_nm3: float
    method: str
    choices: tuple[str, ...]
    r_factor: Floats
    warnings: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()

    @property
    def matter(self) -> Tomogram:
        """Visible atoms per nm³."""
        return Tomogram(self.values * np.float32(self.atoms_per_nm3), self.voxel_size_nm, "density (atoms/nm³)")


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
        where = "along and across" if estimated.extended == "both" else estimated.extended
        said.append(f"the frame cuts the specimen {where} the tilt axis: densities near the cut are wrong")
    return Aligned(series, np.asarray(support), estimated, tuple(dict.fromkeys(said)))


def in_voxels_of_path(aligned: Aligned, adf: TiltSeries, thickness: TiltSeries) -> TiltSeries:
    """Turn raw ADF into thickness of NCM111 in voxels, aligned; the beam from t/λ of the low loss of the same scan."""
    adf, thickness = aligned.kept(adf), aligned.kept(thickness)
    relative = np.asarray(thickness.images)
    empty = np.nanmedian(np.where(relative < valence.VACUUM_THICKNESS, adf.images, np.nan), axis=(1, 2), keepdims=True)
    beam = elastic.beam_counts(adf.images - empty, relative * NCM111_MEAN_FREE_PATH_NM)
    masks = tilt_series.otsu_masks(adf)
    levels = [tilt_series.background_level(image, mask)[0] for image, mask in zip(adf.images, masks, strict=True)]
    share = np.where(masks, adf.images - np.array(levels)[:, None, None], 0.0) / beam
    path = elastic.thickness_from_adf(share) / adf.pixel_size_nm
    return alignment.apply(adf.replace(images=path.astype(np.float32)), aligned.of_kept)


def reconstruct(
    aligned: Aligned, *, method: str, adf: TiltSeries | None = None, thickness: TiltSeries | None = None
) -> Density:
    """Reconstruct the density: as the paper did, or by total variation with its weight chosen on tilts set aside.

    With the raw ADF and t/λ of the low loss, the signal is turned into thickness first, and its scale is known.
    """
    from skimage.filters import threshold_otsu

    said, choices = [], []
    limits = [BLURRED]
    signal = aligned.series
    if adf is not None and thickness is not None:
        signal = in_voxels_of_path(aligned, adf, thickness)
        choices.append("signal: thickness from ADF, the beam from t/lambda of the low loss")
    else:
        limits.append(PROPORTIONAL)
    settings: tomography.Method
    if method == "paper":
        settings = PAPER_GENFIRE
    elif max(aligned.series.images.shape[1:]) > LARGE_PX:
        settings = tomography.Sirt(n_iterations=30)
        said.append(f"images wider than {LARGE_PX} pixels: 30 iterations of SIRT instead of total variation")
    else:
        settings = tomography.TotalVariation(n_folds=1)
    result = tomography.reconstruct(signal, method=settings, support=aligned.support)
    values = np.asarray(result.tomogram.values)
    seen = values[np.isfinite(values)]
    unit = float(seen[seen > threshold_otsu(seen)].mean())
    choices += [f"{name} = {choice.value:g}: {choice.why}" for name, choice in result.choices.items()]
    return Density(
        (values / unit).astype(np.float32),
        aligned.series.pixel_size_nm,
        (unit if signal is not aligned.series else 1.0) * VISIBLE_ATOMS_PER_NM3,
        f"{type(settings).__name__} {settings.as_dict()}",
        (*choices, *result.notes),
        np.asarray(result.r_factor, dtype=np.float64),
        tuple(said),
        tuple(limits),
    )


def measure(density: Density, *, cut: str = "") -> Particle:
    """Find the particle by Otsu's threshold in 3D, peel it into shells and average the density over each.

    `cut` says in which direction the frame cuts the specimen, as `alignment.Alignment.extended` does.
    """
    tomogram = Tomogram(density.values, density.voxel_size_nm, "relative density")
    mask = particles.otsu_mask(tomogram)
    shells = particles.shells(mask)
    profile = particles.depth_profile(tomogram, shells)
    said = []
    faces = [mask.take(end, axis=axis).any() for axis in range(3) for end in (0, -1)]
    # A specimen that the frame cuts need not reach the border of the volume: shifted images lack its last rows.
    if any(faces) or cut:
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
