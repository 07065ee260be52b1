"""One call for fused tomography: composition in 3D from ADF and line maps.

References
----------
Schwartz et al., npj Comput. Mater. 8, 16 (2022), for ``method="published"``; the other is derived here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .. import alignment as alignments
from .._typing import Bools, Floats32
from .._validation import check_option, check_shape, checked
from ..containers import TiltSeries, Tomogram
from ..spectroscopy.detectors import Detectors
from ..spectroscopy.elastic import NCM111_ATOMS_PER_NM3
from ..tomography.fractions import (
    FractionData,
    FractionVolumes,
    Prior,
    PriorChoice,
    WeightedPrior,
    choose_prior,
    solve,
    split_by_fission,
    weigh_lengths,
)
from ..tomography.support import check_covers
from .density import density_from_adf, particle_mask, series_signal
from .detection import BACKGROUND, RADII_NM, Detection, matched_filter
from .fractions import GRID, SLICES, START, check_k_factors, fraction_data, start_sds
from .inputs import ElementMaps, element_maps
from .published import published_fusion

METHODS = ("fractions", "published")


@dataclass(frozen=True, eq=False)
class Fused:
    """Composition of a particle in 3D.

    Parameters
    ----------
    fractions : mapping of str to Tomogram
        Atomic fractions, which sum to 1 (x 100 = at%); NaN outside the particle.
    standard_errors : mapping of str to Tomogram
        Of every voxel; NaN for the published method, which has none.
    density : Tomogram
        Atoms per nm³.
    detection : mapping of str to Tomogram
        Score z of a cluster rich in the element; empty for the published method.
    choices : dict
        Every setting, given or chosen, and why.
    data : FractionData or None
        What the engine was given.
    detector : Detection or None
        Noise of the scores, and thresholds.
    error_draws : ndarray, shape (draw, element, voxel of the particle), or None
        Draws of the errors of the fractions, for what is computed from many voxels.
    """

    fractions: Mapping[str, Tomogram]
    standard_errors: Mapping[str, Tomogram]
    density: Tomogram
    detection: Mapping[str, Tomogram]
    choices: dict[str, Any]
    data: FractionData | None = None
    detector: Detection | None = None
    error_draws: Floats32 | None = None

    @property
    def mask(self) -> Bools:
        """Voxels of the particle, bool (z, y, x)."""
        return np.asarray(np.isfinite(next(iter(self.fractions.values())).values))


@checked
def reconstruct(
    adf: TiltSeries,
    maps: Any,
    *,
    k_factors: Mapping[str, float],
    method: str = "fractions",
    density: Tomogram | None = None,
    detectors: Detectors | None = None,
    alignment: alignments.Alignment | None = None,
    beam_counts: float | None = None,
    absorption: bool = True,
    mask: Any = None,
    rng: np.random.Generator | None = None,
    n_draws: int = 12,
    radii_nm: Sequence[float] = RADII_NM,
    progress: bool = False,
    **options: Any,
) -> Fused:
    """Reconstruct composition from line maps, with the density from ADF.

    Parameters
    ----------
    adf : TiltSeries
        Counts; aligned, unless `alignment` is given.
    maps : LineMaps, or mapping of str to TiltSeries
        From `eds.fit_lines`, signed and unsmoothed; aligned like `adf`.
    k_factors : mapping of str to float
        Atomic, of intensities without absorption, C_i = k_i I_i / sum.
    method : {"fractions", "published"}
        - ``"fractions"``: density times fractions, all elements together, settings from counts set aside, the constant
          map where nothing more is supported.
        - ``"published"``: `published_fusion`; its options may be given.
    density : Tomogram, optional
        Atoms per nm³ of the elements mapped, such as from t/λ. By default from ADF, see `density_from_adf`.
    detectors : Detectors, optional
        X-ray detectors; a Super-X by default.
    alignment : Alignment, optional
        Applied to ADF, maps and their covariance.
    beam_counts : float, optional
        See `density_from_adf`.
    absorption : bool, default True
        Correct for absorption and shadow.
    mask : array_like of bool, shape (z, y, x), optional
        The particle; by default Otsu's threshold of the density.
    rng : numpy.random.Generator, optional
        Splits counts and draws errors. By default seeded with 0, so that a call repeats.
    n_draws : int, default 12
        Draws behind the standard errors.
    radii_nm : sequence of float
        Radii of clusters to look for.
    progress : bool, default False
        Show a progress bar: steps of the method, of which choosing the settings takes longest.
    **options
        For ``"fractions"``: `density_error`, `extra_atoms`, `read_as`, `adf_contrast` (see `fraction_data`), `min_gain`
        and `n_splits` of the choice. For ``"published"``: those of `published_fusion`.

    Returns
    -------
    Fused

    Raises
    ------
    ValueError
        If angles, shapes or pixel sizes differ, a tilt has no counts, the k-factors are for other elements, or the
        mask does not cover the maps.

    Examples
    --------
    >>> from tritomo_helpers.projection import Projector
    >>> z, y, x = np.indices((16, 16, 16)) - 8
    >>> ball = 89.0 * (x**2 + y**2 + z**2 < 30)
    >>> angles = np.arange(-70.0, 71.0, 10.0)
    >>> images = Projector(angles, (16, 16)).forward(ball)
    >>> adf = TiltSeries(images, angles, 4.63, "ADF")
    >>> maps = {"O": adf.replace(images=0.2 * images), "Mn": adf.replace(images=0.1 * images)}
    >>> result = reconstruct(
    ...     adf, maps, k_factors={"O": 1.0, "Mn": 1.0}, density=Tomogram(ball, 4.63), absorption=False, n_draws=2
    ... )
    >>> round(float(np.nanmean(result.fractions["O"].values)), 3)
    0.667
    """
    check_option(method, "method", METHODS)
    checked = element_maps(maps, adf, alignment=alignment)
    check_k_factors(k_factors, checked.elements)
    of_density: dict[str, Any] = {}
    if density is None:
        density = density_from_adf(adf, beam_counts=beam_counts, alignment=alignment)
        of_density = {"adf_contrast": True, "read_as": NCM111_ATOMS_PER_NM3 if beam_counts is not None else None}
    n_y, n_x = checked.images.shape[2:]
    values = np.asarray(density.values)
    check_shape(values, "density", (values.shape[0], n_y, n_x), remedy="reconstruct it on the grid of the maps")
    particle = particle_mask(values) if mask is None else np.asarray(mask, dtype=bool)
    check_shape(particle, "mask", values.shape, remedy="it must cover the maps, on the grid of the density")
    check_covers(particle, checked.images.sum(axis=0), checked.tilt_angles_deg)
    if method == "published":
        options |= {"progress": progress}
        return _published(adf, checked, k_factors, density, mask=particle, alignment=alignment, options=options)
    rng = np.random.default_rng(0) if rng is None else rng
    step = _steps(progress)
    step("absorption")
    of_choice = {name: options.pop(name) for name in ("min_gain", "n_splits") if name in options}
    data = fraction_data(
        checked,
        density,
        particle,
        k_factors=k_factors,
        detectors=detectors,
        absorption=absorption,
        **(of_density | options),
    )
    density = density.replace(values=data.density)
    step("choosing settings")
    prior, truth_priors, choice = _settings(data, rng=rng, **of_choice)
    step("fractions and their errors")
    volumes = solve(data, prior, n_draws=n_draws, rng=rng, truth_prior=truth_priors)
    step("clusters")
    detector = _detector(data, volumes, rng=rng, radii_nm=radii_nm)
    step("")
    thresholds = {rate: detector.threshold(rate) for rate in (0.05, 0.01, 0.001)}
    choices = {
        "method": method,
        "prior": prior,
        "priors_of_errors": truth_priors,
        "why": choice.why,
        "gain": choice.gain,
        "chi2_per_pixel": volumes.chi2_per_pixel,
        "mean_fractions": dict(zip(checked.elements, data.mean_fractions.tolist(), strict=True)),
        "absorption": absorption,
        "cluster_radius_nm": detector.radius_nm,
        "cluster_radius_range_nm": detector.radius_range_nm,
        "thresholds": thresholds,
    }
    return Fused(
        _tomograms(checked.elements, volumes.fractions, density, "atomic fraction"),
        _tomograms(checked.elements, volumes.standard_errors, density, "standard error of atomic fraction"),
        density,
        _tomograms(checked.elements, detector.z, density, "score of a cluster"),
        choices,
        data,
        detector,
        volumes.error_draws,
    )


_N_STEPS = 4


def _steps(shown: bool) -> Callable[[str], None]:
    """Return a function to call with the name of each step as it begins, and with nothing at the end."""
    from tqdm.auto import tqdm

    bar = tqdm(total=_N_STEPS, desc="fusion", unit="step", disable=not shown)
    begun: list[str] = []

    def step(name: str) -> None:
        bar.update(1 if begun else 0)
        begun.append(name)
        if name:
            bar.set_postfix_str(name)
        else:
            bar.close()

    return step


def _settings(
    data: FractionData, *, rng: np.random.Generator, n_splits: int = 2, **options: Any
) -> tuple[Prior, list[WeightedPrior], PriorChoice]:
    """Choose the settings of the reconstruction, and those that its errors allow for."""
    coarse = data.coarser(SLICES)
    splits = [split_by_fission(coarse, rng=rng) for _ in range(n_splits)]
    start = replace(START, state_sds=start_sds(data.mean_fractions))
    choice = choose_prior(coarse, start=start, grid=GRID, rng=rng, splits=splits, **options)
    priors = weigh_lengths(coarse, choice, lengths_nm=GRID["length_nm"], rng=rng, splits=splits)
    return choice.prior if choice.prior.is_constant else priors[0][0], priors, choice


def _detector(
    data: FractionData, volumes: FractionVolumes, *, rng: np.random.Generator, radii_nm: Sequence[float]
) -> Detection:
    """Search what the reconstruction leaves of the images, or, beside a constant map, what a slow variation leaves."""
    if volumes.prior.is_constant:
        return matched_filter(data, rng=rng, radii_nm=radii_nm, background=BACKGROUND)
    return matched_filter(data, rng=rng, radii_nm=radii_nm, background=volumes.prior, solved=volumes)


def _tomograms(elements: tuple[str, ...], volumes: Any, density: Tomogram, quantity: str) -> dict[str, Tomogram]:
    return {
        element: Tomogram(volume, density.voxel_size_nm, f"{element} ({quantity})")
        for element, volume in zip(elements, volumes, strict=True)
    }


def _published(
    adf: TiltSeries,
    maps: ElementMaps,
    k_factors: Mapping[str, float],
    density: Tomogram,
    *,
    mask: Any,
    alignment: alignments.Alignment | None,
    options: dict[str, Any],
) -> Fused:
    series = {
        element: TiltSeries(images, maps.tilt_angles_deg, maps.pixel_size_nm, element)
        for element, images in zip(maps.elements, maps.images, strict=True)
    }
    volumes = published_fusion(series_signal(adf, alignment), series, support=mask, **options)
    atoms = np.stack([k_factors[element] * volumes[element] for element in maps.elements])
    total = atoms.sum(axis=0)
    fractions = np.divide(atoms, total, out=np.full_like(atoms, np.nan), where=mask & (total > 0))
    return Fused(
        _tomograms(maps.elements, fractions, density, "atomic fraction"),
        _tomograms(maps.elements, np.full_like(fractions, np.nan), density, "standard error of atomic fraction"),
        density,
        {},
        {"method": "published", **{name: value for name, value in options.items() if name != "progress"}},
    )
