"""From EDS spectra to the composition of the particle, and by the paper's way to that of every voxel."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from .. import alignment, composition, eds, particles, tilt_series
from .._typing import Floats, Floats32
from ..constants import NCM111_FORMULA_UNITS_PER_NM3
from ..containers import SpectrumTiltSeries, Tomogram
from .stages import Aligned, Density, Particle

OXIDE = ("O", "Mn", "Co", "Ni")
"""Elements of the material whose density is known, so that absorption can be computed."""
VISIBLE_ATOMS_PER_NM3 = 3 * NCM111_FORMULA_UNITS_PER_NM3
RICH_FRACTION = 1 / 6
"""Share of a metal in rock salt of three metals: the paper's threshold, 16.67 at%."""


@dataclass(frozen=True, eq=False)
class Composition:
    """Composition of a particle: means for every method, volumes and profiles for the paper's."""

    mean: Mapping[str, float]
    standard_error: Mapping[str, float]
    counts: Mapping[str, float]
    k_factors: Mapping[str, float]
    fractions: Mapping[str, Floats32] = field(default_factory=dict)
    profile_mean: Mapping[str, Floats] = field(default_factory=dict)
    profile_sd: Mapping[str, Floats] = field(default_factory=dict)
    rich_share: Mapping[str, float] = field(default_factory=dict)
    choices: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def compose(
    spectra: SpectrumTiltSeries,
    aligned: Aligned,
    density: Density,
    particle: Particle,
    *,
    elements: tuple[str, ...],
    k_factors: Mapping[str, float] | None,
    method: str,
) -> Composition:
    """Fit the lines of all elements, take absorption out of the totals, and (paper) reconstruct every element."""
    fitted = eds.fit_lines(spectra, elements=elements)
    totals = {el: float(np.nansum(fitted.intensities[el].images)) for el in elements}
    errors = {el: float(np.sqrt(np.nansum(np.square(fitted.standard_errors[el].images)))) for el in elements}
    said = []
    if k_factors is None:
        k = composition.k_factors_from_cross_sections(elements)
        said.append("k-factors are those of cross-sections, which for L lines are known to some 20 %")
    else:
        k = {el: float(k_factors[el]) for el in elements}
    choices = ["k-factors: given" if k_factors is not None else "k-factors: computed from cross-sections"]
    choices += [f"{name}: {value}" for name, value in fitted.choices.items() if isinstance(value, str | int | float)]
    corrected = dict(totals)
    guess = {el: float(share) for el, share in composition.cliff_lorimer(totals, k_factors=k).items()}
    if set(elements) == set(OXIDE):
        matter = Tomogram(density.values * VISIBLE_ATOMS_PER_NM3, density.voxel_size_nm, "density (atoms/nm³)")
        taken_out = composition.correct_absorption(fitted.intensities, matter, composition=guess, k_factors=k)
        corrected = {el: taken_out.totals[el] for el in elements}
        choices.append("absorption: along rays through the density of LiNi1/3Co1/3Mn1/3O2")
    else:
        said.append("absorption is not taken out: the density of this material is not known")
    mean, error = _mean(corrected, {el: errors[el] * corrected[el] / totals[el] for el in elements}, k)
    if method != "paper":
        return Composition(mean, error, totals, k, choices=tuple(choices), warnings=tuple(said))
    maps = {el: alignment.apply(fitted.intensities[el], aligned.alignment, drop=True) for el in elements}
    volumes = composition.reconstruct_paper(
        maps, mask=particle.shells > 0, k=k, image_masks=tilt_series.otsu_masks(aligned.series)
    )
    fractions = {el: np.asarray(volumes.fractions[el].values, dtype=np.float32) for el in elements}
    profiles = {el: particles.depth_profile(volume, particle.shells) for el, volume in fractions.items()}
    said.append("spread and rich regions of single voxels are mostly noise at such doses: compare with a null")
    said.append(
        "the paper's chain leaves absorption in the voxels: profiles of oxygen rise or fall by a few at% from it"
    )
    return Composition(
        mean,
        error,
        totals,
        k,
        fractions,
        {el: profile.mean for el, profile in profiles.items()},
        {el: profile.sd for el, profile in profiles.items()},
        {el: particles.rich_regions(fractions[el], threshold=RICH_FRACTION).share for el in elements if el != "O"},
        tuple(choices),
        tuple(said),
    )


def _mean(
    totals: Mapping[str, float], errors: Mapping[str, float], k: Mapping[str, float]
) -> tuple[dict[str, float], dict[str, float]]:
    """Return fractions, and standard errors from counting alone: those of the totals through the ratio."""
    mean = {el: float(share) for el, share in composition.cliff_lorimer(totals, k_factors=k).items()}
    whole = sum(k[el] * totals[el] for el in totals)
    slope = {el: {other: k[other] * ((el == other) - mean[el]) / whole for other in totals} for el in totals}
    error = {el: float(np.sqrt(sum((slope[el][o] * errors[o]) ** 2 for o in totals))) for el in totals}
    return mean, error
