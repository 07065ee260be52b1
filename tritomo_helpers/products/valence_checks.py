"""Tables that hold the valence of the twin against what is known: exact references, and no trend."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..store.results import Arrays
from .registry import Report, product

Files = Mapping[str, Mapping[str, Path]]
_STAGES = ("pristine-1", "cycled-50-1", "cycled-100-1", "cycled-200-1")
_STATES = ("Mn4", "Mn3", "Mn2", "Co3")
_TWINS = {f"twin/{stage}": ("low_loss", "core_loss", "truth") for stage in _STAGES}


@product(
    "study/valence-exact",
    datasets=tuple(_TWINS),
    parts=_TWINS,
    tolerance={"error": 0.05, "standard_error": 0.02, "chi2": 0.01},
)
def valence_exact(report: Report, files: Files) -> Arrays:
    """Whole-particle percentages from the raw counts of full tilt series, with the references they were made with.

    ``particle``, ``state`` : text. ``error``, ``standard_error`` : float (particle, state), points. ``chi2`` : float
    (particle,).
    """
    import numpy as np

    from .. import io, valence

    error, standard_error, chi2 = [], [], []
    for done, (name, paths) in enumerate(files.items()):
        report(done / len(files), name)
        low, core = (
            io.load_spectra(paths[role], signal=label, lazy=True)
            for role, label in (("low_loss", "EELS low-loss"), ("core_loss", "EELS core-loss"))
        )
        maps = valence.fit_spectra(core, low, references="crystal-field", calibrate=False)
        truth = io.load_arrays(paths["truth"])
        true = {}
        for s in _STATES:
            atoms = truth["density"] * np.nan_to_num(truth[s[:2]])
            true[s] = 100 * float(np.sum(atoms * np.nan_to_num(truth[s]), dtype=float) / np.sum(atoms, dtype=float))
        percent = maps.particle_percentages()
        error.append([percent[s][0] - true[s] for s in _STATES])
        standard_error.append([percent[s][1] for s in _STATES])
        chi2.append(maps.chi2)
    return {
        "particle": np.array([name.removeprefix("twin/") for name in files]),
        "state": np.array(_STATES),
        "error": np.array(error),
        "standard_error": np.array(standard_error),
        "chi2": np.array(chi2),
    }


@product(
    "study/valence-null-trend",
    tolerance={"change": 0.2, "claimed": 0.3},
    particle="cycled-200-1",
    n_repeats={"Mn": 100, "Co": 100},
    n_draws=40,
)
def valence_null_trend(
    report: Report,
    files: Files,  # noqa: ARG001  made from phantoms, not from a dataset
    *,
    particle: str,
    n_repeats: Mapping[str, int],
    n_draws: int,
) -> Arrays:
    """Depth trends where metals are segregated and valence is the same everywhere, with settings that allow a trend.

    Settings and the size of the errors are those chosen for a repeat of the particle itself, whose valence does vary:
    so the verdict is tried, and not only the choice of a constant map that forbids every trend.

    ``element`` : text. ``n`` : int (element,). ``change`` : float (element, repeat), mean of Mn4+ or Co3+ in the inner
    half minus that at the surface, points; NaN where there are fewer repeats. ``claimed`` : float (element,), its
    standard error, points. ``trends`` : int (element,), repeats in which the change exceeds it by more than chance does
    once in twenty. ``true_change`` : float (element,), of the particle itself, points.
    """
    import numpy as np
    from scipy import stats

    from .. import particles, phantoms, valence
    from ..containers import Tomogram
    from ..tomography.fractions import solve
    from ..valence.volumes import fraction_data, reconstruct_element

    own, flat = (phantoms.particle(particle, control=control) for control in ("none", "segregation-only"))
    own_maps, flat_maps = valence.expected_maps(own), valence.expected_maps(flat)
    change = np.full((len(n_repeats), max(n_repeats.values())), np.nan)
    claimed, true_change = np.zeros((2, len(n_repeats)))

    def regions(specimen: Any) -> tuple[Any, Any]:
        labels = particles.shells(specimen.mask)[specimen.mask]
        return labels > labels.max() / 2, labels == 1

    def density_of(specimen: Any) -> Tomogram:
        return Tomogram(specimen.density.astype(np.float32), specimen.voxel_size_nm)

    for e, (element, n) in enumerate(n_repeats.items()):
        report(e / len(n_repeats), f"settings of {element}")
        core, surface = regions(own)
        measured = valence.draw_maps(own_maps, rng=np.random.default_rng(0))
        got, choice = reconstruct_element(
            measured,
            element,
            density=density_of(own),
            support=own.mask,
            rng=np.random.default_rng(1000),
            n_draws=n_draws,
        )
        draws = 100 * got.error_draws[:, 0]
        claimed[e] = np.sqrt(np.mean((draws[:, core].mean(axis=1) - draws[:, surface].mean(axis=1)) ** 2))
        valences = (own.mn_valence[4] if element == "Mn" else own.co_valence[3])[own.mask]
        true_change[e] = 100 * (valences[core].mean() - valences[surface].mean())
        core, surface = regions(flat)
        for repeat in range(n):
            report((e + repeat / n) / len(n_repeats), f"{element}, repeat {repeat}")
            maps = valence.draw_maps(flat_maps, rng=np.random.default_rng([42, e, repeat]))
            data = fraction_data(maps, maps.states_of(element), density_of(flat), flat.mask)
            estimate = 100 * solve(data, choice.prior).fractions[0][flat.mask]
            change[e, repeat] = estimate[core].mean() - estimate[surface].mean()
    return {
        "element": np.array(list(n_repeats)),
        "n": np.array(list(n_repeats.values())),
        "change": change,
        "claimed": claimed,
        "trends": np.nansum(np.abs(change) > stats.t.ppf(0.975, n_draws) * claimed[:, None], axis=1),
        "true_change": true_change,
    }
