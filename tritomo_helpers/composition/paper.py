"""The published way from maps to composition in 3D, with the steps that the paper leaves open as switches."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage

from .._typing import Bools, Floats
from .._validation import check_flag, check_option, check_positive, check_shape, checked, fail
from ..containers import TiltSeries, Tomogram
from ..tilt_series import apply_masks, normalization_factors, normalize_tilts
from ..tomography import reconstruct
from ..tomography.support import check_covers
from .quantification import cliff_lorimer, k_factors

PREFILTERS = {"none": 1, "mean3": 3, "mean5": 5}
SUPPORTS = ("tight", "box")


@dataclass(frozen=True, eq=False)
class PaperComposition:
    """What the published chain makes of one particle.

    Parameters
    ----------
    fractions : mapping of str to Tomogram
        Atomic fractions 0 to 1; NaN outside the particle and where no counts came out.
    intensities : mapping of str to Tomogram
        Reconstructed counts per voxel.
    k_factors : mapping of str to float
        Given, or from this particle.
    tilt_factors : ndarray, shape (tilt,)
        By which every map of a tilt was multiplied.
    element_tilt_factors : mapping of str to ndarray, shape (tilt,)
        The same of each element alone, before they are averaged.
    choices : mapping
        Every setting.
    """

    fractions: Mapping[str, Tomogram]
    intensities: Mapping[str, Tomogram]
    k_factors: Mapping[str, float]
    tilt_factors: Floats
    element_tilt_factors: Mapping[str, Floats]
    choices: Mapping[str, Any] = field(default_factory=dict)


@checked
def reconstruct_paper(
    maps: Mapping[str, TiltSeries],
    *,
    mask: ArrayLike | Tomogram,
    k: Mapping[str, float] | None = None,
    atomic_ratio: Mapping[str, float] | None = None,
    image_masks: ArrayLike | None = None,
    prefilter: Literal["none", "mean3", "mean5"] = "none",
    support: Literal["tight", "box"] = "tight",
    rim: bool = True,
    normalize: bool = True,
    smoothing_px: float = 1.2,
    oversampling: int = 3,
    n_iterations: int = 1000,
    progress: bool = False,
) -> PaperComposition:
    """Turn aligned maps of every element into composition as the paper does.

    Mean filter (if any), 2D masks, one factor per tilt, Gaussian, GENFIRE for every element by itself, k-factors,
    Cliff-Lorimer in every voxel.

    Parameters
    ----------
    maps : mapping of str to TiltSeries
        Aligned counts of every element, signed: windows (`eds.integrate_windows`) or line fits (`eds.fit_lines`).
    mask : array_like of bool or Tomogram, shape (z, y, x)
        The particle, from the ADF tomogram.
    k, atomic_ratio : mapping of str to float
        One of them: k-factors of the pristine particles, or the composition that this particle is to have in the mean.
    image_masks : array_like of bool, shape (tilt, y, x), optional
        The particle in every image, from the ADF tilt series; outside, maps are set to zero.
    prefilter : {"none", "mean3", "mean5"}
        Mean over 3 x 3 or 5 x 5 pixels before anything else. The paper names none; files of its program often state
        "mean, 3".
    support : {"tight", "box"}
        Where counts may go: the mask and a voxel around it, or anywhere.
    rim : bool, default True
        Whether the outermost voxels of the mask are part of the result.
    normalize : bool, default True
        One factor per tilt that makes the totals constant, averaged over the elements.
    smoothing_px : float, default 1.2
        Standard deviation of the Gaussian, pixels; 0 for none.
    oversampling, n_iterations : int, default 3, 1000
        Of GENFIRE.
    progress : bool, default False
        Show a progress bar.

    Returns
    -------
    PaperComposition

    Raises
    ------
    ValueError
        If both or neither of `k` and `atomic_ratio` are given, elements or shapes differ, or the mask does not fit.

    Examples
    --------
    >>> from tritomo_helpers import phantoms
    >>> ball = phantoms.balls([[0, 0, 0]], [60], shape=16)
    >>> axis = (np.arange(16) - 8) * ball.voxel_size_nm
    >>> angles = np.arange(-60.0, 61.0, 20.0)
    >>> images = np.stack([ball.areal_densities(t, axis, axis)["O"] for t in angles])
    >>> maps = {
    ...     "O": TiltSeries(images, angles, ball.voxel_size_nm),
    ...     "Mn": TiltSeries(images, angles, ball.voxel_size_nm),
    ... }
    >>> got = reconstruct_paper(maps, mask=ball.mask, atomic_ratio={"O": 2, "Mn": 1}, oversampling=2, n_iterations=20)
    >>> float(np.nanmean(got.fractions["O"].values).round(3))
    0.667
    """
    size = check_option(prefilter, "prefilter", PREFILTERS) and PREFILTERS[prefilter]
    check_option(support, "support", SUPPORTS)
    check_flag(rim, "rim")
    check_positive(smoothing_px, "smoothing_px", zero_ok=True)
    if (k is None) == (atomic_ratio is None):
        raise fail(
            "k and atomic_ratio",
            expected="one of them",
            got="both" if k is not None else "neither",
            remedy="give k-factors, or the mean composition to take for granted",
        )
    inside = _checked_mask(mask, maps)
    wanted = inside if rim else ndimage.binary_erosion(inside)
    prepared = {el: _filtered(series, lambda image: ndimage.uniform_filter(image, size)) for el, series in maps.items()}
    if image_masks is not None:
        prepared = {el: apply_masks(series, image_masks) for el, series in prepared.items()}
    each = {el: normalization_factors(series) for el, series in prepared.items()}
    factors = normalization_factors(prepared) if normalize else np.ones(next(iter(maps.values())).n_tilts)
    prepared = {el: normalize_tilts(series, factors) for el, series in prepared.items()}
    if smoothing_px:
        prepared = {
            el: _filtered(series, lambda image: ndimage.gaussian_filter(image, smoothing_px))
            for el, series in prepared.items()
        }
    volumes = reconstruct(
        prepared,
        method="genfire",
        support=ndimage.binary_dilation(inside) if support == "tight" else None,
        n_z=inside.shape[0] if support == "box" else None,
        progress=progress,
        oversampling=oversampling,
        n_iterations=n_iterations,
    )
    intensities = {el: np.where(wanted, np.asarray(r.tomogram.values), np.nan) for el, r in volumes.items()}
    used = dict(k) if k is not None else k_factors(intensities, atomic_ratio=atomic_ratio or {})
    voxel = next(iter(maps.values())).pixel_size_nm
    return PaperComposition(
        {
            el: Tomogram(fraction, voxel, f"{el} (fraction)")
            for el, fraction in cliff_lorimer(intensities, k_factors=used).items()
        },
        {el: r.tomogram for el, r in volumes.items()},
        used,
        factors,
        each,
        {
            "prefilter": prefilter,
            "support": support,
            "rim": rim,
            "normalize": normalize,
            "smoothing_px": smoothing_px,
            "oversampling": oversampling,
            "n_iterations": n_iterations,
            "k_factors": "given" if k is not None else "of this particle, which thereby has the composition put in",
        },
    )


def _filtered(series: TiltSeries, filter_image: Any) -> TiltSeries:
    return series.replace(
        images=np.stack([filter_image(np.asarray(image, dtype=np.float32)) for image in series.images])
    )


def _checked_mask(mask: ArrayLike | Tomogram, maps: Mapping[str, TiltSeries]) -> Bools:
    if not maps:
        raise fail("maps", expected="one series per element", got="none", remedy="fit the lines first")
    first = next(iter(maps.values()))
    inside = np.asarray(getattr(mask, "values", mask), dtype=bool)
    rows, columns = first.images.shape[1:]
    check_shape(inside, "mask", (inside.shape[0], rows, columns), remedy="take the mask of the same field of view")
    for element, series in maps.items():
        check_shape(series.images, f"maps of {element}", first.images.shape, remedy="take maps of one scan")
        if series.pixel_size_nm != first.pixel_size_nm:
            raise fail(
                f"maps of {element}",
                expected=f"pixels of {first.pixel_size_nm:g} nm",
                got=f"{series.pixel_size_nm:g} nm",
                remedy="resample them first",
            )
    if not inside.any():
        raise fail("mask", expected="a voxel inside", got="none", remedy="check the ADF tomogram and its threshold")
    total = np.sum([np.asarray(series.images, dtype=np.float64) for series in maps.values()], axis=0)
    check_covers(inside, total, first.tilt_angles_deg)
    return inside
