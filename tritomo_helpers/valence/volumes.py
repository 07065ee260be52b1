"""Volumes of valence states from maps of their amplitudes.

References
----------
The paper's Methods (volumes of amplitudes, then their ratio); priors and errors are those of `tomography.fractions`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage

from .. import alignment as alignments
from .. import tomography
from .._typing import Bools, Floats, Floats32
from .._validation import check_option, check_shape, checked, fail
from ..containers import TiltSeries, Tomogram
from ..tomography.fractions import (
    FractionData,
    FractionVolumes,
    Prior,
    PriorChoice,
    choose_prior,
    halved,
    may_be_halved,
    solve,
    split_by_fission,
)
from .forward import ValenceMaps

METHODS = ("joint", "sirt")
_START = Prior(sd=0.04, depth_sd=0.1, length_nm=14.0, depth_length_nm=40.0)
_GRID: Mapping[str, tuple[Any, ...]] = {
    "depth_sd": (0.0, 0.03, 0.1, 0.3),
    "sd": (0.0, 0.01, 0.02, 0.04, 0.08, 0.16),
    "length_nm": (9.0, 14.0, 20.0, 28.0),
}
_N_SPLITS = 2
# A state that hardly varies next to others that do; with two states both vary alike.
_QUIET_STATE_SDS = (0.1, 0.3)
# Noise of a pixel that was not measured, in units of the largest noise: it then says nothing.
_UNMEASURED = 1e4


@dataclass(frozen=True, eq=False)
class ValenceVolumes:
    """Fractions of the valence states of each element at every voxel.

    Parameters
    ----------
    fractions : mapping of state to Tomogram
        0 to 1, of the element's ions; noise may carry them a little beyond. NaN outside the support, and everywhere for
        an element whose percentages are withheld.
    standard_errors : mapping of state to Tomogram
        Posterior standard deviation (``"joint"``); NaN where there is none.
    error_draws : mapping of state to ndarray, shape (draw, voxel of the support)
        Draws of the error: their average over a shell has the standard error of the shell's mean.
    support : ndarray of bool, shape (z, y, x)
    choices : mapping of element to PriorChoice
        The settings chosen without the truth, and why; empty for ``"sirt"``.
    warnings : tuple of str
    """

    fractions: Mapping[str, Tomogram]
    standard_errors: Mapping[str, Tomogram]
    error_draws: Mapping[str, Floats32]
    support: Bools
    choices: Mapping[str, PriorChoice]
    warnings: tuple[str, ...] = ()

    def mean_over(self, state: str, region: ArrayLike) -> tuple[float, float]:
        """Mean fraction of a state over voxels, with its standard error.

        Parameters
        ----------
        state : str
            Such as ``"Mn4"``.
        region : array_like of bool, shape (z, y, x)
            For example one shell. Voxels outside the support do not count.

        Returns
        -------
        mean, standard_error : float
            The error is NaN without draws.
        """
        inside = np.asarray(region, dtype=bool) & self.support
        mean = float(np.mean(self.fractions[state].values[inside]))
        draws = self.error_draws[state]
        if not len(draws):
            return mean, np.nan
        averages = draws[:, inside[self.support]].mean(axis=1)
        return mean, float(np.sqrt(np.mean(averages**2)))


@checked
def align_maps(maps: ValenceMaps, alignment: alignments.Alignment) -> ValenceMaps:
    """Bring maps and their covariance onto the tilt axis, with an alignment found on the ADF series.

    Parameters
    ----------
    maps : ValenceMaps
        In the frame of the scan. Align maps, not spectra: interpolated counts would have correlated noise.
    alignment : Alignment

    Returns
    -------
    ValenceMaps
        Pixels that were not measured take the mean of their neighbors, with a noise that gives them no weight.

    Raises
    ------
    ValueError
        If the angles differ, or a tilt has no shift.
    """
    missing = ~np.isfinite(np.stack([series.images for series in maps.amplitudes.values()])).all(axis=0)
    amplitudes = {state: _filled(series, missing) for state, series in maps.amplitudes.items()}
    thickness = maps.thickness.replace(images=np.nan_to_num(maps.thickness.images))
    covariance = np.where(missing[..., None, None], 0.0, maps.covariance)
    covariance += missing[..., None, None] * (_UNMEASURED * covariance.max() * np.eye(len(amplitudes)))
    return replace(
        maps,
        amplitudes=alignments.apply(amplitudes, alignment),
        thickness=alignments.apply(thickness, alignment),
        covariance=_carried_along(covariance, alignment),
    )


def _carried_along(covariance: Floats32, alignment: alignments.Alignment) -> Floats32:
    """Move and turn covariances (tilt, y, x, state, state) as `alignment.apply` does images, but linearly.

    They stay positive definite under linear interpolation, unlike under one that rings.
    """
    angle = np.deg2rad(-alignment.axis_rotation_deg)
    back = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    center = np.array(covariance.shape[1:3]) // 2
    result = np.empty(covariance.shape, dtype=np.float32)
    for tilt, shift in enumerate(alignment.shifts_px):
        offset = center - shift - back @ center
        for i, j in zip(*np.triu_indices(covariance.shape[-1]), strict=True):
            image = ndimage.affine_transform(covariance[tilt, ..., i, j], back, offset=offset, order=1, mode="nearest")
            result[tilt, ..., i, j] = result[tilt, ..., j, i] = image
    return result


def _filled(series: TiltSeries, missing: Bools) -> TiltSeries:
    images = np.where(missing, 0.0, series.images)
    if missing.any():
        size = (1, 3, 3)
        share = ndimage.uniform_filter((~missing).astype(np.float64), size)
        mean = np.divide(ndimage.uniform_filter(images, size), share, out=np.zeros_like(share), where=share > 0)
        images = np.where(missing, mean, images)
    return series.replace(images=images)


@checked
def reconstruct(
    maps: ValenceMaps,
    *,
    density: Tomogram,
    support: ArrayLike | Tomogram,
    method: str = "joint",
    rng: np.random.Generator | None = None,
    n_draws: int = 40,
) -> ValenceVolumes:
    r"""Reconstruct the fractions of the valence states of every element that has more than one.

    ``"joint"`` treats all states of an element together: their fractions sum to 1, and how much they vary, over which
    length and how much of it with depth alone, is chosen by counts set aside (`tomography.fractions`). ``"sirt"``
    reconstructs signed amplitudes one by one with 30 iterations, as the linear control, and divides by the density.

    Parameters
    ----------
    maps : ValenceMaps
        Aligned (see `align_maps`).
    density : Tomogram
        Proportional to the metal atoms per volume, on the grid of the images, zero or above.
    support : array_like of bool or Tomogram, shape (z, y, x)
        Where the particle is.
    method : {"joint", "sirt"}
    rng : numpy.random.Generator, optional
        For the data set aside and the draws; seed 0 by default.
    n_draws : int, default 40
        Draws for the standard errors of ``"joint"``: a standard error from n of them is itself known to 1 / sqrt(2n).

    Returns
    -------
    ValenceVolumes

    Raises
    ------
    ValueError
        If shapes or pixel sizes differ, a map holds NaN (align first), or the support is empty.

    Notes
    -----
    The element's density is taken as proportional to `density`. Its error enters as a common error of all states of a
    pixel, estimated from how far their sum departs from the projected density.

    Examples
    --------
    >>> from tritomo_helpers import phantoms, simulation
    >>> from tritomo_helpers.valence import fit_spectra
    >>> specimen = phantoms.particle("pristine-1", shape=16)
    >>> tilts = {"tilt_angles_deg": (-50.0, 0.0, 30.0), "repeats": False}
    >>> settings = simulation.Acquisition.tiny(signals=("eels",), **tilts)
    >>> got = simulation.acquire(specimen, settings, rng=np.random.default_rng(1))
    >>> maps = fit_spectra(got.core_loss, got.low_loss, references="crystal-field", calibrate=False)
    >>> maps = align_maps(maps, alignments.Alignment(got.truth["shifts_px"], maps.thickness.tilt_angles_deg))
    >>> density = Tomogram(specimen.density, specimen.voxel_size_nm)
    >>> volumes = reconstruct(maps, density=density, support=specimen.mask, n_draws=2)
    >>> abs(volumes.mean_over("Mn4", specimen.mask)[0] - 0.845) < 0.05
    True
    """
    check_option(method, "method", METHODS)
    mask = np.asarray(support.values if isinstance(support, Tomogram) else support, dtype=bool)
    _check_grid(maps, density, mask)
    rng = np.random.default_rng(0) if rng is None else rng
    fractions: dict[str, Tomogram] = {}
    errors: dict[str, Tomogram] = {}
    draws: dict[str, Floats32] = {}
    choices: dict[str, PriorChoice] = {}
    for element in maps.elements:
        states = maps.states_of(element)
        if len(states) < 2:
            continue
        if method == "joint":
            volumes, choices[element] = reconstruct_element(
                maps, element, density=density, support=mask, rng=rng, n_draws=n_draws
            )
            values, sds, element_draws = volumes.fractions, volumes.standard_errors, volumes.error_draws
        else:
            values = _sirt_fractions(maps, states, density, mask)
            sds = np.full(values.shape, np.nan, dtype=np.float32)
            element_draws = np.empty((0, len(states), int(mask.sum())), dtype=np.float32)
        if not maps.reportable[element]:
            values = np.full_like(values, np.nan)
        for i, state in enumerate(states):
            fractions[state] = Tomogram(values[i], density.voxel_size_nm, f"{state} (share of {element})")
            errors[state] = Tomogram(sds[i], density.voxel_size_nm, f"{state} standard error")
            draws[state] = element_draws[:, i]
    return ValenceVolumes(fractions, errors, draws, mask, choices, maps.warnings)


def reconstruct_element(
    maps: ValenceMaps, element: str, *, density: Tomogram, support: Bools, rng: np.random.Generator, n_draws: int
) -> tuple[FractionVolumes, PriorChoice]:
    """Reconstruct the states of one element together, with the settings that counts set aside support.

    Settings are chosen on voxels of twice the size where those resolve every length that is tried. Standard errors are
    those of specimens that vary as much as the counts set aside cannot exclude.
    """
    data = fraction_data(maps, maps.states_of(element), density, support)
    choice = _choice(data, rng)
    return solve(data, choice.prior, n_draws=n_draws, rng=rng, truth_prior=choice.widest()), choice


def _choice(data: FractionData, rng: np.random.Generator) -> PriorChoice:
    grid = {**_GRID, "state_sds": _state_sds(data.mean_fractions)}
    splits = [split_by_fission(data, rng=rng) for _ in range(_N_SPLITS)]
    if may_be_halved(data, shortest_length_nm=min(_GRID["length_nm"])):
        data, splits = halved(data, splits)
    return choose_prior(data, start=_START, grid=grid, rng=rng, splits=splits)


def _check_grid(maps: ValenceMaps, density: Tomogram, mask: Bools) -> None:
    series = next(iter(maps.amplitudes.values()))
    check_shape(mask, "support", density.values.shape, remedy="make the support from the density")
    if (
        density.values.shape[1:] != series.images.shape[1:]
        or abs(density.voxel_size_nm / series.pixel_size_nm - 1) > 1e-3
    ):
        raise fail(
            "density",
            expected=f"rows and columns {series.images.shape[1:]} of {series.pixel_size_nm:g} nm, as the maps",
            got=f"{density.values.shape[1:]} of {density.voxel_size_nm:g} nm",
            remedy="reconstruct it from the ADF series of the same scan",
        )
    if not all(np.isfinite(series.images).all() for series in maps.amplitudes.values()):
        raise fail(
            "maps",
            expected="finite amplitudes",
            got="NaN where a spectrum could not be used",
            remedy="call valence.align_maps, which fills them without weight",
        )


def _state_sds(mean_fractions: Floats) -> tuple[tuple[float, ...] | None, ...]:
    """Relative variations to try: all alike, or one state of three or more that hardly varies.

    Any state may be the quiet one, the rarest in steps: it has the least to vary. Which is rarest is read from the sums
    of the maps, never from a truth, and whether any is quiet, counts set aside decide.
    """
    n_states = len(mean_fractions)
    if n_states < 3:
        return (None,)
    rarest, *others = np.argsort(mean_fractions).tolist()

    def quiet(state: int, sd: float) -> tuple[float, ...]:
        return tuple(sd if i == state else 1.0 for i in range(n_states))

    below = [quiet(rarest, sd) for sd in _QUIET_STATE_SDS]
    return (*below, None, *(quiet(state, _QUIET_STATE_SDS[-1]) for state in others))


def fraction_data(maps: ValenceMaps, states: tuple[str, ...], density: Tomogram, mask: Bools) -> FractionData:
    """Bring the maps of one element's states into the form that the engine takes, with gains and means of the maps."""
    names = list(maps.amplitudes)
    own = [names.index(state) for state in states]
    images = np.stack([maps.amplitudes[state].images for state in states])
    covariance = maps.covariance[..., own, :][..., own].transpose(3, 4, 0, 1, 2)
    angles = maps.thickness.tilt_angles_deg
    # Matter beyond the support counts: it is the rim, and whose valence is there would be pushed into the surface.
    path = tomography.project(density, angles).images
    inside = path > 0
    # Sums over the particle fix gains and means: they are known far better than any pixel.
    of_tilt = np.where(inside, images, 0).sum(axis=(2, 3), dtype=np.float64)
    gains = of_tilt.sum(axis=0) / path.sum(axis=(1, 2), dtype=np.float64)
    mean = of_tilt.sum(axis=1) / of_tilt.sum()
    return FractionData(
        images,
        covariance,
        angles,
        density.values,
        mask,
        mean,
        np.broadcast_to(gains, (len(states), gains.size)),
        density_error=_density_error(images, covariance, gains[:, None, None] * path),
        voxel_size_nm=density.voxel_size_nm,
    )


def _density_error(images: Floats, covariance: Floats32, expected: Floats) -> float:
    """Relative error of the projected density: what the sum of all states scatters about it beyond its noise."""
    thick = expected > 0.2 * expected.max()
    departure = images.sum(axis=0)[thick] - expected[thick]
    noise = covariance.sum(axis=(0, 1))[thick]
    excess = np.sum((departure**2 - noise) / noise) / np.sum(expected[thick] ** 2 / noise)
    return float(np.sqrt(max(excess, 0.0)))


def _sirt_fractions(maps: ValenceMaps, states: tuple[str, ...], density: Tomogram, mask: Bools) -> Floats32:
    """Signed amplitudes one by one, over the mean density of their sum: dividing by a noisy sum would explode."""
    series = {state: maps.amplitudes[state] for state in states}
    results = tomography.reconstruct(series, method="sirt", support=mask, positivity=False, n_iterations=30)
    values = np.stack([results[state].tomogram.values for state in states])
    total = values[:, mask].sum(dtype=np.float64) / density.values[mask].sum(dtype=np.float64) * density.values
    return np.asarray(np.divide(values, total, out=np.full_like(values, np.nan), where=mask), dtype=np.float32)
