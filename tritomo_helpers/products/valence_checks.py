"""Tables that hold the valence of the twin against what is known: exact references, the best setting, no trend."""

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


_CASES = {**{stage: (stage, "none") for stage in _STAGES}, "patches": ("pristine-1", "valence-patches")}


@product(
    "study/valence-oracle",
    tolerance={"chosen": 0.3, "best": 0.3},
    cases=_CASES,
    n_repeats=6,
)
def valence_oracle(report: Report, files: Files, *, cases: Mapping[str, tuple[str, str]], n_repeats: int) -> Arrays:  # noqa: ARG001  made from phantoms
    """Errors of voxels with the setting that counts set aside choose, and with the best when the truth is known.

    Both on the same maps, drawn anew for each repeat; of the settings that were tried, the best for an element is found
    on voxels of twice the size, where settings are chosen.

    ``case``, ``state`` : text. ``chosen``, ``best`` : float (case, repeat, state), root mean square error, points.
    """
    import numpy as np

    from .. import phantoms, valence
    from ..containers import Tomogram
    from ..tomography.fractions import halved, solve
    from ..valence.volumes import fraction_data, reconstruct_element

    table: dict[str, list[list[list[float]]]] = {"chosen": [], "best": []}
    for c, (particle, control) in enumerate(cases.values()):
        specimen = phantoms.particle(particle, control=control)
        inside = specimen.mask
        density = Tomogram(specimen.density.astype(np.float32), specimen.voxel_size_nm)
        silent = valence.expected_maps(specimen)
        for rows in table.values():
            rows.append([])
        for repeat in range(n_repeats):
            report((c + repeat / n_repeats) / len(cases), f"{particle}, {control}, repeat {repeat}")
            # Other repeats than those of the tables of shells.
            maps = valence.draw_maps(silent, rng=np.random.default_rng([40, repeat]))
            errors: dict[str, dict[str, float]] = {"chosen": {}, "best": {}}
            for element in ("Mn", "Co"):
                states = maps.states_of(element)
                known = [i for i, s in enumerate(states) if s in _STATES]
                valences = specimen.mn_valence if element == "Mn" else specimen.co_valence
                truth = np.stack([valences[int(states[i][2])][inside] for i in known])
                rng = np.random.default_rng([41, repeat])
                got, choice = reconstruct_element(maps, element, density=density, support=inside, rng=rng, n_draws=0)
                data = fraction_data(maps, states, density, inside)
                coarse, _ = halved(data)
                at_even = np.zeros((len(known), *inside.shape), dtype=np.float32)
                at_even[:, inside] = truth
                body = coarse.mask & inside[::2, ::2, ::2]
                coarse_truth = at_even[:, ::2, ::2, ::2][:, body]
                misfit = [
                    float(np.mean((solve(coarse, prior).fractions[known][:, body] - coarse_truth) ** 2))
                    for prior, _ in choice.tried
                ]
                best = solve(data, choice.tried[int(np.argmin(misfit))][0]).fractions
                for what, values in (("chosen", got.fractions), ("best", best)):
                    off = np.sqrt(np.mean((values[known][:, inside] - truth) ** 2, axis=1))
                    errors[what] |= {states[i]: 100 * float(v) for i, v in zip(known, off, strict=True)}
            for what, of_state in errors.items():
                table[what][-1].append([of_state[s] for s in _STATES])
    return {
        "case": np.array(list(cases)),
        "state": np.array(_STATES),
        **{what: np.array(rows) for what, rows in table.items()},
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
