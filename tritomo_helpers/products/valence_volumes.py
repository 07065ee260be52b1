"""Tables of the study on volumes of valence: repeats of the experiment, specimens without a trend, images."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..store.results import Arrays
from .registry import Report, product

Files = Mapping[str, Mapping[str, Path]]
_STAGES = ("pristine-1", "cycled-50-1", "cycled-100-1", "cycled-200-1")
_STATES = ("Mn4", "Mn3", "Mn2", "Co3")
_ALL_STATES = (*_STATES, "Co2")


def _valence_shells(
    report: Report,
    files: Files,  # noqa: ARG001  made from phantoms, not from a dataset
    *,
    particle: str,
    control: str,
    n_repeats: int,
    n_draws: int,
) -> Arrays:
    """Volumes of one particle from repeats of the experiment, drawn on maps: true alignment and density, rest chosen.

    ``state`` : text, Mn4, Mn3, Mn2, Co3. ``rms``, ``constant``, ``slope`` : float (repeat, state), root mean square
    error of a voxel and that of the best constant map, points, and slope of truth on estimate. ``best_rms`` : float
    (state,), of the first repeat with the setting that is best for the element when the truth is known.
    ``shell_error``, ``shell_sd`` : float (repeat, state, shell), points; the error that is claimed is pooled over
    repeats with the same settings. ``truth``, ``shell_spread`` : float (state, shell), percent, mean of the truth and
    scatter of the voxels of the first estimate. ``trend`` : float (repeat, state, 2), mean of the inner half minus that
    of the surface, and its standard error, points. ``setting`` : float (repeat, element, 3), sd, depth sd, length in
    nm. ``mean_error`` : float (repeat, state). ``depth_nm`` : float (shell,). ``linear_rms``, ``linear_shell_error`` :
    float (state,) and (state, shell), of the first repeat by SIRT of signed amplitudes. ``volume`` : int (state, z, y,
    x), percent, -128 outside.
    """
    import numpy as np

    from .. import particles, phantoms, valence
    from ..containers import Tomogram

    specimen = phantoms.particle(particle, control=control)
    inside = specimen.mask
    density = Tomogram(specimen.density.astype(np.float32), specimen.voxel_size_nm)
    true = {s: 100 * (specimen.mn_valence if s[0] == "M" else specimen.co_valence)[int(s[2])][inside] for s in _STATES}
    labels = particles.shells(inside)[inside]
    n_shells = int(min(labels.max(), 16))
    members = [labels == k for k in range(1, n_shells + 1)]
    core, surface = labels > labels.max() / 2, labels == 1
    report(0.02, "maps")
    silent = valence.expected_maps(specimen)
    repeats = []
    for repeat in range(n_repeats):
        report(0.05 + 0.85 * repeat / n_repeats, f"repeat {repeat}")
        maps = valence.draw_maps(silent, rng=np.random.default_rng(repeat))
        rng = np.random.default_rng(1000 + repeat)
        repeats.append(valence.reconstruct(maps, density=density, support=inside, rng=rng, n_draws=n_draws))
        if repeat == 0:
            first = maps
    columns: dict[str, list[Any]] = {k: [] for k in ("rms", "slope", "shell_error", "shell_sd", "trend", "mean_error")}
    for volumes in repeats:
        row: dict[str, list[Any]] = {k: [] for k in columns}
        for s in _STATES:
            own = volumes.choices[s[:2]].prior
            alike = [v.error_draws[s] for v in repeats if v.choices[s[:2]].prior == own]
            draws = 100 * np.concatenate(alike).astype(float)
            estimate = 100 * volumes.fractions[s].values[inside].astype(float)
            off = estimate - true[s]
            row["rms"].append(np.sqrt(np.mean(off**2)))
            row["mean_error"].append(off.mean())
            spread = estimate.var()
            row["slope"].append(np.cov(true[s], estimate)[0, 1] / spread if spread > 1e-6 else np.nan)
            row["shell_error"].append([off[m].mean() for m in members])
            row["shell_sd"].append([np.sqrt(np.mean(draws[:, m].mean(axis=1) ** 2)) for m in members])
            change = draws[:, core].mean(axis=1) - draws[:, surface].mean(axis=1)
            row["trend"].append([estimate[core].mean() - estimate[surface].mean(), np.sqrt(np.mean(change**2))])
        for key, values in row.items():
            columns[key].append(values)
    report(0.92, "other settings, with the truth known")
    linear = valence.reconstruct(first, density=density, support=inside, method="sirt")
    by_sirt = {s: 100 * linear.fractions[s].values[inside].astype(float) - true[s] for s in _STATES}
    estimates = {s: 100 * repeats[0].fractions[s].values for s in _STATES}
    return {
        **{key: np.array(values) for key, values in columns.items()},
        "state": np.array(_STATES),
        "depth_nm": particles.mean_depth_nm(particles.shells(inside), voxel_size_nm=specimen.voxel_size_nm)[:n_shells],
        "constant": np.array([true[s].std() for s in _STATES]),
        "truth": np.array([[true[s][m].mean() for m in members] for s in _STATES]),
        "true_trend": np.array([true[s][core].mean() - true[s][surface].mean() for s in _STATES]),
        "setting": np.array(
            [[[(p := v.choices[el].prior).sd, p.depth_sd, p.length_nm] for el in ("Mn", "Co")] for v in repeats]
        ),
        "best_rms": np.array(_best_rms(first, repeats[0], density, {s: v / 100 for s, v in true.items()})),
        "shell_spread": np.array([[estimates[s][inside][m].std() for m in members] for s in _STATES]),
        "linear_rms": np.array([np.sqrt(np.mean(off**2)) for off in by_sirt.values()]),
        "linear_shell_error": np.array([[off[m].mean() for m in members] for off in by_sirt.values()]),
        "volume": np.array([np.where(inside, np.rint(e), -128) for e in estimates.values()], dtype=np.int8),
    }


def _best_rms(maps: Any, volumes: Any, density: Any, true: Mapping[str, Any]) -> list[float]:
    """Root mean square errors with that of the settings tried which is best for all states of the element together.

    It is found on voxels of twice the size, as settings are chosen, and then reconstructed as it should be.
    """
    import numpy as np

    from ..tomography.fractions import halved, solve
    from ..valence.volumes import fraction_data

    inside = volumes.support
    errors: dict[str, float] = {}
    for element, choice in volumes.choices.items():
        states = maps.states_of(element)
        known = [i for i, s in enumerate(states) if s in true]
        truth = np.stack([true[states[i]] for i in known])
        data = fraction_data(maps, states, density, inside)
        coarse, _ = halved(data)
        at_even = np.zeros((len(known), *inside.shape), dtype=np.float32)
        at_even[:, inside] = truth
        body = coarse.mask & inside[::2, ::2, ::2]
        coarse_truth = at_even[:, ::2, ::2, ::2][:, body]

        def misfit(prior: Any) -> float:
            off = solve(coarse, prior).fractions[known][:, body] - coarse_truth  # noqa: B023  used in this turn only
            return float(np.mean(np.square(off)))

        best = min((prior for prior, _ in choice.tried), key=misfit)
        off = solve(data, best).fractions[known][:, inside] - truth
        errors |= {states[i]: 100 * float(v) for i, v in zip(known, np.sqrt(np.mean(off**2, axis=1)), strict=True)}
    return [errors[s] for s in true]


_CASES = {**{stage: (stage, "none") for stage in _STAGES}, "patches": ("pristine-1", "valence-patches")}
for _name, (_particle, _control) in _CASES.items():
    product(
        f"study/valence-shells-{_name}",
        tolerance={"rms": 0.3, "slope": 0.1, "shell_error": 1.0, "shell_sd": 0.5, "trend": 1.0, "mean_error": 0.1}
        | {"setting": 20.0, "best_rms": 0.3, "linear_rms": 0.1, "linear_shell_error": 0.1, "volume": 6}
        | {"shell_spread": 0.5},
        particle=_particle,
        control=_control,
        n_repeats=6 if _name == "patches" else 20,
        n_draws=6,
    )(_valence_shells)


def _valence_best(
    report: Report,
    files: Files,  # noqa: ARG001  made from phantoms, not from a dataset
    *,
    particle: str,
    n_repeats: int,
) -> Arrays:
    """Errors of voxels with the setting that counts set aside choose, and with the best when the truth is known.

    Both on the same maps, drawn anew for each repeat, and other than those of the tables of shells.

    ``state`` : text. ``chosen``, ``best`` : float (repeat, state), root mean square error, points.
    """
    import numpy as np

    from .. import phantoms, valence
    from ..containers import Tomogram

    specimen = phantoms.particle(particle)
    inside = specimen.mask
    density = Tomogram(specimen.density.astype(np.float32), specimen.voxel_size_nm)
    true = {s: (specimen.mn_valence if s[0] == "M" else specimen.co_valence)[int(s[2])][inside] for s in _STATES}
    silent = valence.expected_maps(specimen)
    chosen, best = [], []
    for repeat in range(n_repeats):
        report(repeat / n_repeats, f"repeat {repeat}")
        maps = valence.draw_maps(silent, rng=np.random.default_rng([40, repeat]))
        rng = np.random.default_rng([41, repeat])
        volumes = valence.reconstruct(maps, density=density, support=inside, rng=rng, n_draws=0)
        off = {s: volumes.fractions[s].values[inside].astype(float) - true[s] for s in _STATES}
        chosen.append([100 * float(np.sqrt(np.mean(off[s] ** 2))) for s in _STATES])
        best.append(_best_rms(maps, volumes, density, true))
    return {"state": np.array(_STATES), "chosen": np.array(chosen), "best": np.array(best)}


for _stage in ("pristine-1", "cycled-200-1"):
    product(
        f"study/valence-best-{_stage}",
        tolerance={"chosen": 0.3, "best": 0.3},
        particle=_stage,
        n_repeats=4,
    )(_valence_best)


@product(
    "study/valence-null",
    tolerance={"trends": 3.0, "constant": 3.0},
    particle="cycled-200-1",
    n_repeats={"segregation-only": {"Mn": 20, "Co": 180}, "null": {"Mn": 5, "Co": 45}},
)
def valence_null(
    report: Report,
    files: Files,  # noqa: ARG001  made from phantoms, not from a dataset
    *,
    particle: str,
    n_repeats: Mapping[str, Mapping[str, int]],
) -> Arrays:
    """Count false depth trends where valence is the same everywhere, on maps drawn from their covariance.

    ``control`` : text, metals segregated, and nothing at all. ``element`` : text. ``n`` : int (control, element),
    repeats. ``trends`` : int (control, element), repeats in which the inner half of Mn4+ or Co3+ differs from the
    surface by more than chance does once in twenty, by Student's t of the draws. ``constant`` : int (control, element),
    repeats that kept the constant map.
    """
    import numpy as np
    from scipy import stats

    from .. import particles, phantoms, valence
    from ..containers import Tomogram
    from ..valence.volumes import reconstruct_element

    elements = ("Mn", "Co")
    trends = np.zeros((len(n_repeats), len(elements)), dtype=int)
    constant = np.zeros_like(trends)
    for c, (control, n_of) in enumerate(n_repeats.items()):
        specimen = phantoms.particle(particle, control=control)
        inside = specimen.mask
        density = Tomogram(specimen.density.astype(np.float32), specimen.voxel_size_nm)
        labels = particles.shells(inside)[inside]
        core, surface = labels > labels.max() / 2, labels == 1
        silent = valence.expected_maps(specimen)
        for e, element in enumerate(elements):
            for repeat in range(n_of[element]):
                report((c + (e + repeat / n_of[element]) / len(elements)) / len(n_repeats), f"{control}, {element}")
                maps = valence.draw_maps(silent, rng=np.random.default_rng(repeat))
                got, choice = reconstruct_element(
                    maps, element, density=density, support=inside, rng=np.random.default_rng(500 + repeat), n_draws=4
                )
                constant[c, e] += choice.prior.is_constant
                estimate, draws = got.fractions[0][inside], got.error_draws[:, 0]
                change = estimate[core].mean() - estimate[surface].mean()
                sd = np.sqrt(np.mean((draws[:, core].mean(axis=1) - draws[:, surface].mean(axis=1)) ** 2))
                trends[c, e] += abs(change) > stats.t.ppf(0.975, len(draws)) * sd + 1e-6
    return {
        "control": np.array(list(n_repeats)),
        "element": np.array(elements),
        "n": np.array([[n_of[el] for el in elements] for n_of in n_repeats.values()]),
        "trends": trends,
        "constant": constant,
    }


@product(
    "study/valence-images",
    tolerance={"share": 0.3, "truth": 0.05},
    particles=("pristine-1", "cycled-50-2", "cycled-100-1", "cycled-200-1"),
)
def valence_images(
    report: Report,
    files: Files,  # noqa: ARG001  made from phantoms, not from a dataset
    *,
    particles: tuple[str, ...],
) -> Arrays:
    """One image of each stage, not tilted, from counts: shares of the states along the beam, 3 x 3 pixels averaged.

    ``share``, ``truth`` : float (particle, state, y, x), percent, NaN where the particle is thinner than .3 mean free
    paths. ``state`` : text. ``particle`` : text.
    """
    import numpy as np
    from scipy import ndimage

    from .. import phantoms, simulation, valence
    from ..simulation import rays

    def shares(values: Mapping[str, Any], inside: Any) -> Any:
        averaged = {s: ndimage.uniform_filter(np.asarray(v, dtype=float), 3) for s, v in values.items()}
        total = {el: sum(v for s, v in averaged.items() if s[:2] == el) for el in ("Mn", "Co")}
        with np.errstate(divide="ignore", invalid="ignore"):
            return [np.where(inside, 100 * averaged[s] / total[s[:2]], np.nan) for s in _ALL_STATES]

    measured, true = [], []
    for done, name in enumerate(particles):
        report(done / len(particles), name)
        specimen = phantoms.particle(name)
        scan = simulation.Acquisition(
            signals=("eels",),
            tilt_angles_deg=(0.0,),
            misalignment_px=0.0,
            drift_nm=0.0,
            tilt_error_deg=0.0,
            repeats=False,
        )
        got = simulation.acquire(specimen, scan, rng=np.random.default_rng(20 + done))
        assert got.core_loss is not None
        assert got.low_loss is not None
        maps = valence.fit_spectra(got.core_loss, got.low_loss, references="crystal-field", calibrate=False)
        atoms = rays.species_maps(specimen, scan, rays.plan(scan, rng=np.random.default_rng(1))[0])
        inside = maps.thickness.images[0] > 0.3
        measured.append(shares({s: maps.amplitudes[s].images[0] for s in _ALL_STATES}, inside))
        true.append(shares({s: atoms[s] for s in _ALL_STATES}, inside))
    return {
        "share": np.array(measured, dtype=np.float16),
        "truth": np.array(true, dtype=np.float16),
        "state": np.array(_ALL_STATES),
        "particle": np.array(particles),
    }
