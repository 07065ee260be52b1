"""From EDS spectra to the composition of the particle and of every voxel."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from .. import alignment, composition, eds, fusion, particles, tilt_series
from .._typing import Floats32
from ..constants import BEAM_ENERGY_KEV, METAL_RICH_FRACTION
from ..containers import SpectrumTiltSeries, TiltSeries
from ..projection import Projector
from ..tomography import fractions as engine
from .inputs import line_window_ev
from .stages import LARGE_PX, PROPORTIONAL, Aligned, Density, Particle
from .volumes import Shares, estimates, in_shells, judge

OXIDE = ("O", "Mn", "Co", "Ni")
"""Elements of the material whose density is known, so that absorption can be computed."""
FIXED_PRIOR = engine.Prior(sd=0.01, length_nm=9.0, mean_sd=0.003)
"""For verdicts: the same for the measured particle and for every draw of its null."""
LITHIUM_PER_VISIBLE_ATOM = 1 / 3
"""Of LiNi1/3Co1/3Mn1/3O2. Lithium scatters and absorbs little, so that what has left hardly matters."""
PAPER_CORRELATED_PX = float(np.sqrt(2)) * 1.2
"""Of the paper's maps, which a Gaussian of 1.2 pixels smooths."""


@dataclass(frozen=True, eq=False)
class Lines:
    """Counts of every element, as recorded (not aligned)."""

    elements: tuple[str, ...]
    intensities: Mapping[str, TiltSeries]
    standard_errors: Mapping[str, TiltSeries]
    covariance: Floats32
    choices: tuple[str, ...] = ()

    @property
    def totals(self) -> dict[str, float]:
        """Counts of the whole series."""
        return {el: float(np.nansum(self.intensities[el].images, dtype=np.float64)) for el in self.elements}

    @property
    def errors(self) -> dict[str, float]:
        """Standard errors of the totals."""
        return {
            el: float(np.sqrt(np.nansum(np.square(self.standard_errors[el].images), dtype=np.float64)))
            for el in self.elements
        }


@dataclass(frozen=True, eq=False)
class Composition:
    """Composition of a particle, and of its voxels where the method and the elements allow.

    ``manganese`` (1 + draw, voxel) is the estimate that verdicts go by, measured first: for its coupling with valence.
    """

    mean: Mapping[str, float]
    standard_error: Mapping[str, float]
    counts: Mapping[str, float]
    k_factors: Mapping[str, float]
    shares: Shares | None = None
    rich_share: Mapping[str, float] = field(default_factory=dict)
    null_rich_share: Mapping[str, float] = field(default_factory=dict)
    manganese: Floats32 | None = None
    choices: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    not_done: str = ""


def fit(
    spectra: SpectrumTiltSeries,
    aligned: Aligned,
    *,
    elements: tuple[str, ...],
    beam_energy_kev: float = BEAM_ENERGY_KEV,
) -> Lines:
    """Fit the lines of all elements to every spectrum of the tilts that are aligned."""
    fitted = eds.fit_lines(
        aligned.kept(spectra),
        elements=elements,
        window_ev=line_window_ev(elements),
        beam_energy_kev=beam_energy_kev,
    )
    said = [f"{name}: {value}" for name, value in fitted.choices.items() if isinstance(value, str | int | float)]
    return Lines(tuple(elements), fitted.intensities, fitted.standard_errors, fitted.covariance, tuple(said))


def compose(
    lines: Lines,
    aligned: Aligned,
    density: Density,
    particle: Particle,
    *,
    k_factors: Mapping[str, float],
    k_source: str,
    method: str,
) -> Composition:
    """Turn line counts into the mean composition, without absorption where that can be known, and into volumes."""
    totals, errors = lines.totals, lines.errors
    k = {el: float(k_factors[el]) for el in lines.elements}
    choices = [f"k-factors: {k_source}", *lines.choices]
    said = []
    if "cross-sections" in k_source:
        said.append("k-factors are those of cross-sections, which for L lines are known to some 20 %")
    corrected = dict(totals)
    known = set(lines.elements) == set(OXIDE)
    guess = {el: float(share) for el, share in composition.cliff_lorimer(totals, k_factors=k).items()}
    absent = [f"{el} ({100 * share:.1f} at%)" for el, share in guess.items() if share <= 0]
    if known and absent and method != "paper":
        said.append(f"not found: {', '.join(absent)}; name the elements of the specimen in tritomo.yaml")
    elif known and method != "paper":
        maps = aligned_maps(lines, aligned)
        # As the k-factors were calibrated: lithium absorbs too.
        taken_out = composition.correct_absorption(
            maps, density.matter, composition=guess | {"Li": LITHIUM_PER_VISIBLE_ATOM}, k_factors=k
        )
        corrected = {el: taken_out.totals[el] for el in lines.elements}
        choices.append("absorption: along rays through the density of LiNi1/3Co1/3Mn1/3O2")
    elif method != "paper":
        said.append("absorption is not taken out: the density of this material is not known")
    mean, error = mean_of(corrected, {el: errors[el] * corrected[el] / totals[el] for el in lines.elements}, k)
    result = Composition(mean, error, totals, k, choices=tuple(choices), warnings=tuple(said))
    if method == "paper":
        return _as_paper(result, lines, aligned, density, particle)
    if not known:
        return replace(result, not_done="the density of this material is not known, nor how it absorbs")
    if absent:
        return replace(result, not_done=f"{', '.join(absent)} is not found, so that this is another material")
    if max(aligned.series.images.shape[1:]) > LARGE_PX:
        return replace(result, not_done=f"images wider than {LARGE_PX} pixels: bin them")
    return _fused(result, lines, aligned, density, particle)


def aligned_maps(lines: Lines, aligned: Aligned) -> dict[str, TiltSeries]:
    """Return the maps of every element on the tilt axis."""
    return {el: alignment.apply(lines.intensities[el], aligned.of_kept) for el in lines.elements}


def _fused(result: Composition, lines: Lines, aligned: Aligned, density: Density, particle: Particle) -> Composition:
    """Composition of every voxel from ADF and maps together, with verdicts against a null of the same noise."""
    inside = particle.shells > 0
    # Measured on homogeneous particles: with ADF taken as proportional to matter nearly every one has a depth trend.
    inverted = PROPORTIONAL not in density.limits
    raw = next(iter(lines.intensities.values()))  # for its geometry: the density is known already
    # The beam was found from t/lambda, so that the density holds for other compositions than NCM111 as well.
    # Clusters are wanted as a verdict, not as a map: one radius is enough.
    fused = fusion.reconstruct(
        raw,
        lines,
        alignment=aligned.of_kept,
        k_factors=result.k_factors,
        density=density.matter.replace(values=np.maximum(density.matter.values, 0)),
        mask=inside,
        rng=np.random.default_rng(0),
        radii_nm=(6.5,),
        extra_atoms={"Li": LITHIUM_PER_VISIBLE_ATOM},
        adf_contrast=True,
    )
    assert fused.data is not None
    assert fused.error_draws is not None
    prior = fused.choices["prior"]
    values = {el: np.asarray(fused.fractions[el].values, dtype=np.float32) for el in lines.elements}
    standard_errors = {el: np.asarray(fused.standard_errors[el].values, dtype=np.float32) for el in lines.elements}
    draws = {el: fused.error_draws[:, i] for i, el in enumerate(lines.elements)}
    estimated = estimates(fused.data, lines.elements, FIXED_PRIOR, rng=np.random.default_rng(2))
    shares = in_shells(
        values,
        particle.shells,
        density.voxel_size_nm,
        standard_errors=standard_errors,
        error_draws=draws,
        correlated_nm=dict.fromkeys(lines.elements, prior.length_nm),
        verdicts=judge(estimated, particle.shells, density.voxel_size_nm) if inverted else {},
    )
    said = () if inverted else ("verdicts on composition are withheld: they need the beam, which the low loss gives",)
    choices = (
        *result.choices,
        f"composition of voxels: {fused.choices['why']}; {prior}",
        f"chi squared per pixel of the maps: {fused.choices['chi2_per_pixel']:.3f}",
    )
    mn = lines.elements.index("Mn")
    return replace(
        result,
        mean=fused.choices["mean_fractions"],
        shares=shares,
        choices=choices,
        rich_share=rich_shares(values),
        warnings=(*result.warnings, *said),
        manganese=np.concatenate([estimated.measured[None, mn], estimated.null[:, mn]]),
    )


def _as_paper(result: Composition, lines: Lines, aligned: Aligned, density: Density, particle: Particle) -> Composition:
    """Every element by GENFIRE, as the paper does, beside a particle of one composition with the same noise.

    Means are those of the volumes, as in the paper, which gives no errors for them.
    """
    inside = particle.shells > 0
    masks = tilt_series.otsu_masks(aligned.series)
    maps = aligned_maps(lines, aligned)
    volumes = composition.reconstruct_paper(maps, mask=inside, k=result.k_factors, image_masks=masks)
    values = {el: np.asarray(volumes.fractions[el].values, dtype=np.float32) for el in lines.elements}
    mean = {el: float(np.nanmean(values[el])) for el in lines.elements}
    rich = rich_shares(values)
    null = composition.reconstruct_paper(
        null_maps(maps, lines, aligned, density.values * inside, rng=np.random.default_rng(0)),
        mask=inside,
        k=result.k_factors,
        image_masks=masks,
    )
    null_rich = {el: composition.shifted_rich_share(null.fractions[el].values, mean=mean[el]) for el in rich}
    said = (
        "spread and rich regions of single voxels are mostly noise at such doses: compare with the null",
        "the paper's chain leaves absorption in: profiles of oxygen rise or fall by a few at% from it",
    )
    correlated_nm = dict.fromkeys(lines.elements, PAPER_CORRELATED_PX * density.voxel_size_nm)
    return replace(
        result,
        mean=mean,
        standard_error=dict.fromkeys(lines.elements, float("nan")),
        shares=in_shells(values, particle.shells, density.voxel_size_nm, correlated_nm=correlated_nm),
        rich_share=rich,
        null_rich_share=null_rich,
        warnings=(*result.warnings, *said),
    )


def rich_shares(values: Mapping[str, Floats32]) -> dict[str, float]:
    """Return the share of voxels of each metal above the threshold of the paper."""
    return {
        el: particles.rich_regions(volume, threshold=METAL_RICH_FRACTION).share
        for el, volume in values.items()
        if el != "O"
    }


def null_maps(
    maps: Mapping[str, TiltSeries], lines: Lines, aligned: Aligned, matter: Floats32, *, rng: np.random.Generator
) -> dict[str, TiltSeries]:
    """Return maps of a particle of one composition: counts, tilt by tilt, and noise of every pixel are as measured.

    `matter`, shape (z, y, x), says where the particle is and how dense. Noise is drawn from the covariance of the
    fitted lines, as recorded, and brought onto the axis as the maps were.
    """
    first = next(iter(maps.values()))
    path = Projector(first.tilt_angles_deg, matter.shape[::2]).forward(np.maximum(matter, 0).astype(np.float32))
    path = np.asarray(path, dtype=np.float64)
    of_tilt = sum(np.nansum(series.images, axis=(1, 2), dtype=np.float64) for series in maps.values())
    counts = path * (of_tilt / path.sum(axis=(1, 2)))[:, None, None]
    covariance = lines.covariance.astype(np.float64)
    # Not by Cholesky's decomposition, which a pixel without counts does not have.
    variances, directions = np.linalg.eigh(covariance)
    standard = rng.standard_normal(covariance.shape[:-1])
    noise = np.einsum("...ab,...b->...a", directions, np.sqrt(np.maximum(variances, 0)) * standard)
    total = sum(lines.totals.values())
    homogeneous = {}
    for number, el in enumerate(lines.elements):
        recorded = lines.intensities[el].replace(images=noise[..., number].astype(np.float32))
        on_axis = alignment.apply(recorded, aligned.of_kept)
        expected = counts * (lines.totals[el] / total)
        homogeneous[el] = on_axis.replace(images=on_axis.images + expected.astype(np.float32))
    return homogeneous


def mean_of(
    totals: Mapping[str, float], errors: Mapping[str, float], k: Mapping[str, float]
) -> tuple[dict[str, float], dict[str, float]]:
    """Return fractions, and standard errors from counting alone: those of the totals through the ratio."""
    mean = {el: float(share) for el, share in composition.cliff_lorimer(totals, k_factors=k).items()}
    whole = sum(k[el] * totals[el] for el in totals)
    slope = {el: {other: k[other] * ((el == other) - mean[el]) / whole for other in totals} for el in totals}
    error = {el: float(np.sqrt(sum((slope[el][o] * errors[o]) ** 2 for o in totals))) for el in totals}
    return mean, error
