"""What each way in which the analysis may be wrong does to each conclusion, on maps of whole particles."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .._typing import Bools, Floats, Floats32
from ..store.results import Arrays
from .composition_null import _standard_error as error_of_means
from .mean_spectra import Scan
from .registry import Report, product

if TYPE_CHECKING:
    from ..alignment import Alignment
    from ..containers import TiltSeries, Tomogram
    from ..eds import LineMaps
    from ..phantoms import Phantom
    from ..simulation import Acquisition
    from ..tomography.fractions import FractionData, Prior
    from ..valence import ValenceMaps

Files = Mapping[str, Mapping[str, Path]]

_ELEMENTS = ("O", "Mn", "Co", "Ni")
_OF_COMPOSITION = (*(f"{el} mean" for el in _ELEMENTS), "O trend", "rich", "Mn spread")
_OF_VALENCE = ("Mn4 mean", "Co3 mean", "Mn4 trend", "Mn2 trend", "Co3 trend")
CONCLUSIONS = (*_OF_COMPOSITION, *_OF_VALENCE)
"""At%, % of voxels, and points; a trend is the inner half of the shells minus the outermost one."""
_ON_SPECTRA = ("axis-offset", "dispersion", "reference-shape", "exelfs", "nickel-line")
_ON_X_RAYS = ("line-efficiency", "absorption")
_ON_BOTH = ("channeling", "misalignment", "wedge")
_LITHIUM_PER_VISIBLE_ATOM = 1 / 3


@dataclass(frozen=True, eq=False)
class _Case:
    """One particle under one microscope: what it records, and how its tilts are brought onto the axis."""

    name: str
    adf: "TiltSeries"
    lines: "LineMaps"
    density: "Tomogram"
    alignment: "Alignment | None" = None


@product(
    "study/what-if",
    tolerance={"value": 0.5, "effect": 0.5, "standard_error": 0.2, "chi2": 0.05},
    particles=("pristine-1", "cycled-200-1"),
    mismatches=(*_ON_SPECTRA, *_ON_X_RAYS, *_ON_BOTH),
    pixels=64,
    tilt_step_deg=10.0,
    n_draws=24,
    misaligned_px=0.5,
    wedge_deg=50.0,
    seed=5,
)
def what_if(
    report: Report,
    files: Files,
    *,
    particles: Sequence[str],
    mismatches: Sequence[str],
    pixels: int,
    tilt_step_deg: float,
    n_draws: int,
    misaligned_px: float,
    wedge_deg: float,
    seed: int,
) -> Arrays:
    """Change one thing that the analysis does not know of, and see by how much each conclusion moves.

    Maps are free of noise, of the pixels and tilts of the experiment. Those of valence follow from fits of the mean
    spectra of 24 thicknesses, calibrated with both reference sets as always; compositions from one setting for all,
    with k-factors that the first particle gave under the same mismatch. ``"misalignment"``: every image lies
    ``misaligned_px`` off, root mean square in each direction; ``"wedge"``: tilts end at ``wedge_deg``;
    ``"absorption"``: it is not corrected.

    ``particle``, ``mismatch``, ``conclusion``, ``touched`` (mismatch, 2): whether it touches composition and valence.
    ``value``, ``standard_error`` : float (particle, conclusion), without mismatch, and the scatter of ``n_draws`` draws
    of the counting noise. ``effect`` : float (particle, mismatch, conclusion), what the mismatch adds; the share of
    rich voxels and the spread are means over the same draws of noise. ``chi2`` : float (particle, mismatch), of the
    spectra of the whole series, 1 without misfit; NaN where the mismatch is not one of spectra.
    """
    from .. import phantoms

    del files
    value, errors, effect, chi2 = [], [], [], []
    k_factors: dict[str, dict[str, float]] = {}
    for number, name in enumerate(particles):
        specimen = phantoms.particle(name, shape=pixels)
        plain = _acquisition(specimen, tilt_step_deg)
        rng = np.random.default_rng([seed, number])
        shifts = misaligned_px * np.random.default_rng(seed).standard_normal((len(plain.tilt_angles_deg), 2))

        def at(share: float, text: str, *, done: int = number) -> None:
            report((done + share) / len(particles), text)

        at(0.0, f"{name}, X-rays")
        changed = [m for m in mismatches if m not in _ON_SPECTRA]
        cases = _cases(specimen, plain, changed, shifts_px=shifts, wedge_deg=wedge_deg)
        chemistry, chemistry_error = _compositions(specimen, cases, k_factors, n_draws=n_draws, rng=rng)
        at(0.6, f"{name}, spectra")
        changed = [m for m in mismatches if m not in _ON_X_RAYS]
        valences, valence_error, misfit = _valences(specimen, plain, changed, cases, n_draws=n_draws, rng=rng)
        nominal = [*chemistry["none"], *valences["none"]]
        value.append(nominal)
        errors.append([*chemistry_error, *valence_error])
        moved = [[*chemistry.get(m, chemistry["none"]), *valences.get(m, valences["none"])] for m in mismatches]
        effect.append(np.array(moved) - nominal)
        chi2.append([misfit.get(m, np.nan) if m in _ON_SPECTRA else np.nan for m in mismatches])
    return {
        "particle": np.array(particles),
        "mismatch": np.array(mismatches),
        "conclusion": np.array(CONCLUSIONS),
        "touched": np.array([[m not in _ON_SPECTRA, m not in _ON_X_RAYS] for m in mismatches]),
        "value": np.array(value),
        "standard_error": np.array(errors),
        "effect": np.array(effect),
        "chi2": np.array(chi2),
    }


def _acquisition(specimen: "Phantom", tilt_step_deg: float) -> "Acquisition":
    """Return the published experiment without noise, on pixels of the specimen's voxels, perfectly aligned."""
    from .. import simulation

    return simulation.Acquisition(
        tilt_angles_deg=tuple(np.arange(-70.0, 70.1, tilt_step_deg).tolist()),
        signals=("adf", "eds"),
        repeats=False,
        counting_noise=False,
        misalignment_px=0.0,
        drift_nm=0.0,
        axis_rotation_deg=0.0,
        tilt_error_deg=0.0,
        scan_shape=specimen.mask.shape[1:],
        pixel_size_nm=specimen.voxel_size_nm,
        # The lines that are fitted end at 1.2 keV.
        eds=simulation.Eds(n_channels=130),
    )


def _cases(
    specimen: "Phantom", plain: "Acquisition", mismatches: Sequence[str], *, shifts_px: Floats, wedge_deg: float
) -> list[_Case]:
    """Record a particle without mismatch and with each of those that concern ADF or X-rays."""
    from .. import alignment, simulation

    def recorded(name: str, acquisition: "Acquisition") -> _Case:
        from .. import eds, fusion

        got = simulation.acquire(specimen, acquisition, rng=np.random.default_rng(0))
        assert got.adf is not None
        assert got.eds is not None
        beam = acquisition.electrons_per_pixel * acquisition.adf_efficiency
        density = fusion.density_from_adf(got.adf, beam_counts=beam)
        return _Case(name, got.adf, eds.fit_lines(got.eds, elements=_ELEMENTS), density)

    nominal = recorded("none", plain)
    cases = [nominal]
    for name in mismatches:
        if name in simulation.MISMATCHES:
            cases.append(recorded(name, simulation.Acquisition.mismatched(name, base=plain)))
        elif name == "misalignment":
            wrong = alignment.Alignment(shifts_px, nominal.adf.tilt_angles_deg)
            cases.append(replace(nominal, name=name, alignment=wrong, density=_density(nominal.adf, plain, wrong)))
        elif name == "wedge":
            kept = np.abs(nominal.adf.tilt_angles_deg) <= wedge_deg
            adf = _tilts(nominal.adf, kept)
            lines = replace(
                nominal.lines,
                intensities={el: _tilts(series, kept) for el, series in nominal.lines.intensities.items()},
                covariance=np.asarray(nominal.lines.covariance)[kept],
            )
            cases.append(_Case(name, adf, lines, _density(adf, plain, None)))
        else:
            cases.append(replace(nominal, name=name))
    return cases


def _density(adf: "TiltSeries", acquisition: "Acquisition", known: "Alignment | None") -> "Tomogram":
    from .. import fusion

    beam = acquisition.electrons_per_pixel * acquisition.adf_efficiency
    return fusion.density_from_adf(adf, beam_counts=beam, alignment=known)


def _tilts(series: "TiltSeries", kept: Bools) -> "TiltSeries":
    return series.replace(images=series.images[kept], tilt_angles_deg=series.tilt_angles_deg[kept])


# ---------------------------------------------------------------- composition


def _compositions(
    specimen: "Phantom",
    cases: Sequence[_Case],
    k_factors: dict[str, dict[str, float]],
    *,
    n_draws: int,
    rng: np.random.Generator,
) -> tuple[dict[str, Floats], Floats]:
    """Return the conclusions on composition of every case, and the scatter of the first one's from counting noise.

    `k_factors` of a case are found on the first particle, which is a pristine one, and kept there.
    """
    from .. import fusion
    from ..pipeline import chemistry, volumes
    from ..spectroscopy import elastic

    inside = specimen.mask
    found: dict[str, Floats] = {}
    noise: Floats32 | None = None
    scatter: Floats = np.empty(0)
    for case in cases:
        corrected = case.name != "absorption"
        if case.name not in k_factors:
            k_factors[case.name] = _calibrated(case, corrected=corrected)
        data = fusion.fraction_data(
            fusion.element_maps(case.lines, case.adf, alignment=case.alignment),
            case.density,
            inside,
            k_factors=k_factors[case.name],
            absorption=corrected,
            extra_atoms={"Li": _LITHIUM_PER_VISIBLE_ATOM},
            read_as=elastic.NCM111_ATOMS_PER_NM3,
            adf_contrast=True,
        )
        if noise is None:
            drawn = volumes.estimates(data, _ELEMENTS, chemistry.FIXED_PRIOR, rng=rng, n_draws=n_draws)
            noise, measured = drawn.null - drawn.null.mean(axis=0), drawn.measured
            of_draws = [_of_composition(specimen, data.mean_fractions, measured, draw[None]) for draw in noise]
            scatter = np.std(of_draws, axis=0, ddof=1)
            scatter[: len(_ELEMENTS)] = error_of_means(
                case.lines, dict(zip(_ELEMENTS, data.mean_fractions, strict=True)), finer=1
            )
        else:
            measured = _estimate(data, chemistry.FIXED_PRIOR)
        found[case.name] = _of_composition(specimen, data.mean_fractions, measured, noise)
    return found, scatter


def _calibrated(case: _Case, *, corrected: bool) -> dict[str, float]:
    """k-factors from a pristine particle, as the paper and the pipeline take them."""
    from .. import alignment, composition

    ratio = {"O": 6.0, "Mn": 1.0, "Co": 1.0, "Ni": 1.0}
    maps = {el: case.lines.intensities[el] for el in _ELEMENTS}
    if case.alignment is not None:
        maps = {el: alignment.apply(series, case.alignment) for el, series in maps.items()}
    totals: Mapping[str, float] = {el: float(series.images.sum(dtype=float)) for el, series in maps.items()}
    if corrected:
        present = {el: n / 9 for el, n in ratio.items()} | {"Li": _LITHIUM_PER_VISIBLE_ATOM}
        totals = composition.correct_absorption(maps, case.density, composition=present).totals
    return dict(composition.k_factors(totals, atomic_ratio=ratio))


def _estimate(data: "FractionData", prior: "Prior") -> Floats32:
    """Fractions (state, voxel of the mask) with one setting."""
    from ..tomography.fractions import solve

    return solve(data, prior).fractions[:, data.mask]


def _of_composition(specimen: "Phantom", means: Floats, measured: Floats32, noise: Floats32) -> Floats:
    """Return `_OF_COMPOSITION` of an estimate (element, voxel), with draws of its noise (draw, element, voxel)."""
    from ..constants import METAL_RICH_FRACTION

    core, surface = _regions(specimen)
    oxygen, manganese = measured[0], measured[1]
    trend = oxygen[core].mean() - oxygen[surface].mean() + noise[:, 0, core].mean() - noise[:, 0, surface].mean()
    rich = np.mean(measured[1:] + noise[:, 1:] > METAL_RICH_FRACTION)
    # The noise's own share of the variance is taken off, as in a profile of inhomogeneity.
    variance = np.mean(np.var(manganese + noise[:, 1], axis=1)) - np.mean(np.var(noise[:, 1], axis=1))
    return np.array([*(100 * means), 100 * trend, 100 * rich, 100 * np.sqrt(max(variance, 0.0))])


def _regions(specimen: "Phantom") -> tuple[Bools, Bools]:
    """Voxels of the mask in the inner half of the shells, and in the outermost one."""
    from .. import particles

    labels = particles.shells(specimen.mask)[specimen.mask]
    return labels > labels.max() / 2, labels == 1


# ---------------------------------------------------------------- valence


def _valences(
    specimen: "Phantom",
    plain: "Acquisition",
    mismatches: Sequence[str],
    cases: Sequence[_Case],
    *,
    n_draws: int,
    rng: np.random.Generator,
) -> tuple[dict[str, Floats], Floats, dict[str, float]]:
    """Return the conclusions on valence of every mismatch, their scatter from counting noise, and the misfits."""
    from .. import simulation, valence
    from ..pipeline import volumes
    from ..valence.volumes import fraction_data, reconstruct_element

    scan = Scan(specimen, plain)
    of_case = {case.name: case for case in cases}
    nominal, misfit = scan.maps(plain)
    density = of_case["none"].density
    inside = specimen.mask
    noisy = valence.draw_maps(nominal, rng=rng)
    priors = {
        el: reconstruct_element(noisy, el, density=density, support=inside, rng=rng, n_draws=1)[1].prior
        for el in ("Mn", "Co")
    }
    drawn = {
        el: volumes.estimates(
            fraction_data(nominal, nominal.states_of(el), density, inside),
            nominal.states_of(el),
            prior,
            rng=rng,
            n_draws=n_draws,
        )
        for el, prior in priors.items()
    }
    found = {"none": _of_valence(specimen, nominal, density, priors)}
    misfits = {"none": misfit}
    core, surface = _regions(specimen)
    trends = []
    for state in ("Mn4", "Mn2", "Co3"):
        null = drawn[state[:2]].null[:, nominal.states_of(state[:2]).index(state)]
        trends.append(100 * np.std(null[:, core].mean(axis=1) - null[:, surface].mean(axis=1), ddof=1))
    percent = nominal.particle_percentages()
    errors = np.array([percent["Mn4"][1], percent["Co3"][1], *trends])
    for name in mismatches:
        maps, matter = nominal, density
        if name in _ON_SPECTRA:
            maps, misfits[name] = scan.maps(simulation.Acquisition.mismatched(name, base=plain))
        else:
            case = of_case[name]
            matter = case.density
            if case.alignment is not None:
                maps = valence.align_maps(maps, case.alignment)
            kept = np.isin(maps.thickness.tilt_angles_deg, case.adf.tilt_angles_deg)
            maps = replace(
                maps,
                amplitudes={state: _tilts(series, kept) for state, series in maps.amplitudes.items()},
                covariance=maps.covariance[kept],
                thickness=_tilts(maps.thickness, kept),
            )
        found[name] = _of_valence(specimen, maps, matter, priors)
    return found, errors, misfits


def _of_valence(specimen: "Phantom", maps: "ValenceMaps", density: "Tomogram", priors: Mapping[str, "Prior"]) -> Floats:
    """Return `_OF_VALENCE`, points."""
    from ..valence.volumes import fraction_data

    core, surface = _regions(specimen)
    mean, trend = {}, {}
    for element, prior in priors.items():
        states = maps.states_of(element)
        data = fraction_data(maps, states, density, specimen.mask)
        for i, (state, values) in enumerate(zip(states, _estimate(data, prior), strict=True)):
            mean[state] = 100 * float(data.mean_fractions[i])
            trend[state] = 100 * float(values[core].mean() - values[surface].mean())
    return np.array([mean["Mn4"], mean["Co3"], *(trend[state] for state in ("Mn4", "Mn2", "Co3"))])
