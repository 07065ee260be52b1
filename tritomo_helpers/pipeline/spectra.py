"""From raw dual EELS to valence states of manganese and cobalt, in the mean and in every voxel."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import particles, tilt_series, valence
from .._typing import Floats, Floats32
from .._validation import fail
from ..constants import SPECIES_ELEMENT
from ..containers import SpectrumTiltSeries, TiltSeries, Tomogram
from ..particles.shells import Shells
from ..spectroscopy import ReferenceSet
from ..spectroscopy import references as computed_references
from ..spectroscopy.references import SETS
from ..tomography import fractions as engine
from ..valence import ValenceMaps
from ..valence.volumes import fraction_data
from ..valence.white_lines import WHITE_LINE_WINDOWS_EV
from .chemistry import Composition
from .stages import Aligned, Density, Particle
from .volumes import Estimates, Shares, estimates, in_shells, judge

FIXED_PRIOR = engine.Prior(sd=0.01, depth_sd=0.03, length_nm=14.0, depth_length_nm=40.0, mean_sd=0.003)
"""For verdicts: the same for the measured particle and every draw of its null. Stiff, so that solutions are quick."""
PAPER_CORRELATED_PX = 1.15
"""Of the paper's spectra, which a mean over 3 x 3 pixels smooths (standard deviation .82 pixels, times √2)."""


@dataclass(frozen=True, eq=False)
class Valence:
    """Percentages of the states of each element, in the whole particle, with interval, and their volumes.

    NaN where they are withheld. ``coupling`` is (correlation, low, high, p) of Mn with Mn4+ at equal depth.
    """

    percent: Mapping[str, float]
    low: Mapping[str, float]
    high: Mapping[str, float]
    shares: Shares | None = None
    coupling: Floats = field(default_factory=lambda: np.full(4, np.nan))
    choices: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def reference_sets(given: Any) -> dict[str, list[ReferenceSet]] | tuple[str, ...] | None:
    """Check what was given for `references`: None, names of computed sets, or sets of one's own by element."""
    if given is None:
        return None
    several: Any = [given] if isinstance(given, str | ReferenceSet) else given
    if isinstance(several, Mapping):
        several = [s for sets in several.values() for s in ([sets] if isinstance(sets, ReferenceSet) else sets)]
    several = tuple(several)
    if several and all(isinstance(s, str) and s in SETS for s in several):
        return tuple(str(name) for name in several)
    if not several or not all(isinstance(s, ReferenceSet) for s in several):
        raise fail(
            "references",
            expected=f"None, names among {', '.join(SETS)}, or ReferenceSets of Mn, Co and Ni",
            got=repr(given),
            remedy="load them with spectroscopy.references.ReferenceSet",
        )
    by_element: dict[str, list[ReferenceSet]] = {}
    for one_set in several:
        by_element.setdefault(one_set.element, []).append(one_set)
    return by_element


def fit_maps(
    core: SpectrumTiltSeries, low: SpectrumTiltSeries, aligned: Aligned, *, references: Any, **optics: float
) -> ValenceMaps:
    """Fit the forward model to the raw spectra of the tilts that are aligned."""
    options: dict[str, Any] = dict(optics) if references is None else {"references": references, **optics}
    return valence.fit_spectra(aligned.kept(core), aligned.kept(low), **options)


def by_forward_model(
    maps: ValenceMaps, aligned: Aligned, density: Density, particle: Particle, chemistry: Composition | None
) -> Valence:
    """Reconstruct the states from their amplitudes, with verdicts, and with their coupling to the Mn fraction."""
    inside = particle.shells > 0
    matter = Tomogram(np.maximum(density.values, 0), density.voxel_size_nm, "density")
    aligned_maps = valence.align_maps(maps, aligned.of_kept)
    volumes = valence.reconstruct(aligned_maps, density=matter, support=inside, rng=np.random.default_rng(0))
    verdicts: dict[str, Floats] = {}
    coupled = np.full(4, np.nan)
    for element in maps.elements:
        states = maps.states_of(element)
        if len(states) < 2 or not maps.reportable[element]:
            continue
        data = fraction_data(aligned_maps, states, matter, inside)
        estimated = estimates(data, states, FIXED_PRIOR, rng=np.random.default_rng(3))
        verdicts |= judge(estimated, particle.shells, density.voxel_size_nm)
        if element == "Mn" and chemistry is not None and chemistry.manganese is not None:
            coupled = _coupling(chemistry.manganese, estimated, particle.shells, density.voxel_size_nm)
    shown = {s: v for s, v in volumes.fractions.items() if np.isfinite(v.values).any()}
    shares = in_shells(
        {s: np.asarray(v.values, dtype=np.float32) for s, v in shown.items()},
        particle.shells,
        density.voxel_size_nm,
        standard_errors={s: np.asarray(volumes.standard_errors[s].values, dtype=np.float32) for s in shown},
        error_draws={s: volumes.error_draws[s] for s in shown},
        correlated_nm={s: volumes.choices[SPECIES_ELEMENT[s]].prior.length_nm for s in shown},
        verdicts=verdicts,
    )
    percent, low, high = {}, {}, {}
    for state, (value, error) in maps.particle_percentages().items():
        if state not in volumes.fractions:
            continue
        below, above = maps.systematic.get(state, (value, value))
        percent[state] = value
        low[state], high[state] = min(value, below) - 1.96 * error, max(value, above) + 1.96 * error
    choices = [f"{element}: {choice.why}; {choice.prior}" for element, choice in volumes.choices.items()]
    choices.append(f"chi squared of the pooled spectra: {maps.chi2:.3f}")
    return Valence(percent, low, high, shares if shown else None, coupled, tuple(choices), tuple(maps.warnings))


def _coupling(manganese: Floats32, estimated: Estimates, shells: Shells, voxel_size_nm: float) -> Floats:
    mn = Estimates(("Mn",), estimated.mask, manganese[:1], manganese[1:, None])
    result = particles.coupling(
        mn.volume(mn.measured, "Mn"),
        estimated.volume(estimated.measured, "Mn4"),
        shells,
        correlation_length_nm=FIXED_PRIOR.length_nm,
        null_draws=zip(mn.null_volumes("Mn"), estimated.null_volumes("Mn4"), strict=True),
        voxel_size_nm=voxel_size_nm,
    )
    return np.array([result.correlation, *result.interval, result.p_value])


def by_published_chain(
    core: SpectrumTiltSeries,
    low: SpectrumTiltSeries,
    adf: TiltSeries,
    aligned: Aligned,
    particle: Particle,
    *,
    references: Any,
) -> Valence:
    """Background sweep, deconvolution, fixed references, GENFIRE and white lines, as the paper does."""
    if references is None or isinstance(references, tuple):
        name = references[0] if references else "crystal-field"
        sets = [computed_references.load(element, name) for element in WHITE_LINE_WINDOWS_EV]
    else:
        sets = [of_element[0] for of_element in references.values()]
    # Those of the sets that are fitted: the two differ by 13 % between Mn4+ and Mn2+.
    factors: dict[str, float] = {}
    for reference_set in sets:
        if reference_set.element in WHITE_LINE_WINDOWS_EV:
            factors |= valence.white_line_factors(reference_set)
    maps = valence.published_maps(
        aligned.kept(low),
        aligned.kept(core),
        alignment=aligned.of_kept,
        masks=tilt_series.otsu_masks(aligned.kept(adf)),
        reference_sets=sets,
    )
    inside = particle.shells > 0
    volumes = valence.published_volumes(maps, support=inside, white_line_factors_by_state=factors)
    states = tuple(volumes.fractions)
    size = next(iter(volumes.fractions.values())).voxel_size_nm
    amounts = {s: float(np.nansum(np.asarray(volumes.amounts[s].values)[inside])) for s in states}
    percent = {s: 100 * amounts[s] / sum(amounts[o] for o in states if o[:2] == s[:2]) for s in states}
    nothing = dict.fromkeys(states, float("nan"))
    values = {s: np.asarray(volumes.fractions[s].values, dtype=np.float32) for s in states}
    rejected = {edge: float(np.nanmean(share)) for edge, share in maps.rejected_share.items()}
    said = [
        f"{100 * share:.0f} % of the {edge} spectra had no background that passed" for edge, share in rejected.items()
    ]
    said.append("the paper's valence has no interval: it gives none")
    return Valence(
        percent,
        nothing,
        nothing,
        in_shells(values, particle.shells, size, correlated_nm=dict.fromkeys(values, PAPER_CORRELATED_PX * size)),
        choices=tuple(f"white-line factor of {s}: {f:.4g}" for s, f in volumes.factors.items()),
        warnings=tuple(said),
    )


def digest_of(references: Any) -> Any:
    """Return what tells references from others, as JSON can hold it."""
    from ..store import fingerprint, results

    if references is None or isinstance(references, tuple):
        return references
    return {
        element: [
            fingerprint.digest({n: np.asarray(a).tolist() for n, a in results.to_arrays(one_set).items()})
            for one_set in sets
        ]
        for element, sets in references.items()
    }
