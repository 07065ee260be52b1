"""The study: twelve particles by both methods, with nulls, as small tables (``make study``)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..store.results import Arrays
from .registry import Report, product

Files = Mapping[str, Mapping[str, Path]]

PRISTINE = ("pristine-1", "pristine-2", "pristine-3", "pristine-4")
CYCLED = (
    *("cycled-50-1", "cycled-50-2"),
    *("cycled-100-1", "cycled-100-2", "cycled-100-3", "cycled-100-4"),
    *("cycled-200-1", "cycled-200-2"),
)
PARTICLES = PRISTINE + CYCLED
_ALL = ("adf", "eds", "low_loss", "core_loss", "truth")
_TWINS = {f"twin/{name}": ("adf", "eds", "low_loss", "core_loss") for name in PRISTINE}


@product("study/k-factors", datasets=tuple(_TWINS), parts=_TWINS, tolerance={"corrected": 0.01, "uncorrected": 0.01})
def study_k_factors(report: Report, files: Files) -> Arrays:
    """k-factors from the four pristine particles, of which the composition is taken for granted.

    Density and absorption are found as the pipeline finds them where it uses the factors, so that what either does
    wrong does not remain.

    ``corrected``, ``uncorrected`` : float (particle, element), with absorption taken out of the intensities and left
    in. ``elements`` : str (element,).
    """
    import numpy as np

    from .. import composition, io
    from ..pipeline import chemistry, spectra, stages

    elements, ratio = chemistry.OXIDE, {"O": 6.0, "Mn": 1.0, "Co": 1.0, "Ni": 1.0}
    tables: dict[str, list[list[float]]] = {"corrected": [], "uncorrected": []}
    for number, paths in enumerate(files.values()):
        report(number / len(files), f"particle {number + 1}")
        adf = io.load_tilt_series(paths["adf"])
        low, core = (
            io.load_spectra(paths[role], signal=label, lazy=True)
            for role, label in (("low_loss", "EELS low-loss"), ("core_loss", "EELS core-loss"))
        )
        aligned = stages.align(adf)
        lines = chemistry.fit(io.load_spectra(paths["eds"], signal="EDS", lazy=True), aligned, elements=elements)
        thickness = spectra.fit_maps(core, low, aligned, references=None).thickness
        density = stages.reconstruct(aligned, method="best", adf=adf, thickness=thickness)
        present = {el: n / 9 for el, n in ratio.items()} | {"Li": chemistry.LITHIUM_PER_VISIBLE_ATOM}
        taken_out = composition.correct_absorption(
            chemistry.aligned_maps(lines, aligned), density.matter, composition=present
        )
        for kind, totals in (("corrected", taken_out.totals), ("uncorrected", lines.totals)):
            k = composition.k_factors(totals, atomic_ratio=ratio)
            tables[kind].append([k[el] for el in elements])
    return {**{kind: np.array(table) for kind, table in tables.items()}, "elements": np.array(elements)}


@product(
    "study/paper-null",
    datasets=("twin/cycled-200-1",),
    parts={"twin/cycled-200-1": ("truth",)},
    tolerance={"rich": 0.005, "counts_per_nm3": 0.0},
    counts=(0.5, 1.0, 2.0),
    means=(0.105, 0.1111, 0.112, 0.1175, 0.1247, 0.13, 0.135),
)
def study_paper_null(report: Report, files: Files, *, counts: tuple[float, ...], means: tuple[float, ...]) -> Arrays:
    """Take a particle without any segregation through the paper's chain, at several doses.

    ``rich`` (dose, mean) is the share of voxels of a metal above the paper's threshold, averaged over the metals;
    ``counts_per_nm3`` (dose,) of all metals, ``mean`` (mean,) of a metal.
    """
    import numpy as np

    from .. import composition, constants, io
    from ..containers import Tomogram

    truth = io.load_arrays(files["twin/cycled-200-1"]["truth"])
    density = Tomogram(truth["density"].astype(np.float32), constants.SCAN_STEP_NM)
    inside = truth["mask"].astype(bool)
    fractions = {"O": 0.61, "Mn": 0.13, "Co": 0.13, "Ni": 0.13}
    rich, per_nm3 = [], []
    for done, factor in enumerate(counts):
        report(done / len(counts), f"{factor:g} x counts")
        maps = composition.homogeneous_maps(
            density,
            fractions=fractions,
            tilt_angles_deg=truth["nominal_tilt_angles_deg"],
            rng=np.random.default_rng(12),
            counts=factor,
        )
        result = composition.reconstruct_paper(maps, mask=inside, atomic_ratio=fractions)
        metals = [np.asarray(result.fractions[el].values) for el in ("Mn", "Co", "Ni")]
        rich.append([np.mean([composition.shifted_rich_share(v, mean=m) for v in metals]) for m in means])
        total = sum(float(maps[el].images.sum(dtype=np.float64)) for el in ("Mn", "Co", "Ni"))
        per_nm3.append(total / (inside.sum() * density.voxel_size_nm**3))
    return {
        "rich": np.array(rich),
        "counts_per_nm3": np.array(per_nm3),
        "mean": np.array(means),
    }


@product(
    "study/verdicts-null",
    datasets=("twin/pristine-1",),
    parts={"twin/pristine-1": ("adf", "truth")},
    tolerance={"p_values": 0.05},
    n_particles=200,
    n_null=799,
)
def study_verdicts_null(report: Report, files: Files, *, n_particles: int, n_null: int) -> Arrays:
    """Judge particles in which there is nothing to find: how many verdicts are positive although they should not.

    Each is drawn anew as photons of the homogeneous pristine-1, fitted, and estimated with the density that its ADF
    gives, the beam known; the null is the pipeline's own, drawn once and often, since all particles are held against
    it. ``p_values`` : float (particle, statement); ``statements``.
    """
    import numpy as np

    from .. import alignment, composition, fusion, io, particles, simulation
    from ..containers import Tomogram
    from ..particles.verdicts import p_value
    from ..pipeline import chemistry, volumes

    truth = io.load_arrays(files["twin/pristine-1"]["truth"])
    adf = io.load_tilt_series(files["twin/pristine-1"]["adf"])
    scan = simulation.Acquisition()
    density = fusion.density_from_adf(
        adf,
        beam_counts=scan.electrons_per_pixel * scan.adf_efficiency,
        alignment=alignment.Alignment(truth["shifts_px"], adf.tilt_angles_deg),
    )
    inside = fusion.particle_mask(density.values)
    shells = particles.shells(inside)
    elements, fractions = chemistry.OXIDE, {"O": 6 / 9, "Mn": 1 / 9, "Co": 1 / 9, "Ni": 1 / 9}
    k = composition.k_factors_from_cross_sections(elements)
    true_density = Tomogram(truth["density"].astype(np.float32), density.voxel_size_nm)
    rng = np.random.default_rng(11)
    tests = {"segregated": particles.segregated, "depth trend": particles.depth_trend}
    null: dict[str, Any] = {}
    p_values = []
    for done in range(n_particles):
        report(done / n_particles, f"particle {done + 1}")
        maps = composition.counted_lines(
            true_density, fractions=fractions, tilt_angles_deg=adf.tilt_angles_deg, rng=rng
        )
        data = fusion.fraction_data(fusion.element_maps(maps, adf), density, inside, k_factors=k, absorption=False)
        n_draws = 1 if null else n_null
        found = volumes.estimates(data, elements, chemistry.FIXED_PRIOR, rng=rng, n_draws=n_draws)
        row = []
        for name in elements:
            measured = found.volume(found.measured, name)
            for what, test in tests.items():
                verdict = test(measured, shells, null_draws=found.null_volumes(name), level=0.5)
                of_null = null.setdefault(f"{name} {what}", verdict.null)
                tail = "upper" if what == "segregated" else "both"
                row.append(p_value(verdict.statistic, of_null, tail=tail))
        p_values.append(row)
    return {"p_values": np.array(p_values), "statements": np.array(list(null))}


def _processed(report: Report, files: Files, *, particle: str, method: str) -> Arrays:
    """One particle from raw counts to the numbers of its report, beside the truth.

    ``names``, ``values`` : of summary.json. ``statements``, ``measured``, ``null`` (statement, 2), ``p_values`` : its
    verdicts. ``columns``, ``profiles`` (column, shell) : of profiles.csv. ``true_names``, ``true_values`` : means of
    the particle. ``true_columns``, ``true_profiles`` : the same profiles of the truth, on the shells of the true mask,
    with ``depth_nm`` first. ``warnings``.
    """
    import json

    import numpy as np

    from .. import datasets, pipeline

    report(0.0, method)
    out = datasets.data_dir() / "study" / f"{particle}-{method}"
    pipeline.process(f"twin/{particle}", out=out, method=method)
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    header, *rows = (out / "profiles.csv").read_text(encoding="utf-8").splitlines()
    profiles = np.array([row.split(",") for row in rows], dtype=np.float32).T
    verdicts = summary["verdicts"]
    truth = _truth(files[f"twin/{particle}"]["truth"])
    return {
        "names": np.array(list(summary["values"])),
        "values": np.array(list(summary["values"].values()), dtype=float),
        "statements": np.array([v["statement"] for v in verdicts], dtype=str),
        "measured": np.array([v["measured"] for v in verdicts], dtype=float),
        "null": np.array([v["null"] for v in verdicts], dtype=float).reshape(-1, 2),
        "p_values": np.array([v["p_value"] for v in verdicts], dtype=float),
        "columns": np.array(header.split(",")),
        "profiles": profiles,
        "warnings": np.array(summary["warnings"], dtype=str),
        **truth,
    }


def _truth(path: Path) -> Arrays:
    """Return the true means and profiles of a particle in the units of the results."""
    import numpy as np

    from .. import constants, io, particles

    truth = io.load_arrays(path)
    inside = truth["mask"].astype(bool)
    shells = particles.shells(inside)
    atoms = np.where(inside, truth["density"], 0.0)
    names = {**dict.fromkeys(("O", "Mn", "Co", "Ni"), "at_percent"), "Mn4": "percent", "Mn3": "percent"}
    names |= {"Mn2": "percent", "Co3": "percent", "Co2": "percent"}
    means, columns = {}, {"depth_nm": particles.mean_depth_nm(shells, voxel_size_nm=constants.SCAN_STEP_NM)}
    for name, what in names.items():
        weight = atoms if what == "at_percent" else atoms * np.nan_to_num(truth[name[:2]])
        values = np.where(inside, 100 * np.asarray(truth[name], dtype=np.float64), np.nan)
        means[f"{name}_{what}"] = float(np.nansum(values * weight) / weight[inside].sum())
        profile = particles.depth_profile(values, shells, voxel_size_nm=constants.SCAN_STEP_NM)
        columns |= {f"{name}_{what}_mean": profile.mean, f"{name}_{what}_sd": profile.sd}
        if name in ("Mn", "Co", "Ni"):
            means[f"{name}_rich_percent"] = float(np.mean(values[inside] > 100 * constants.METAL_RICH_FRACTION) * 100)
    metals = atoms * (truth["Mn"] + truth["Co"] + truth["Ni"])
    means["rock_salt_percent_of_visible_atom"] = float(100 * np.nansum(truth["rock_salt"] * atoms) / atoms.sum())
    # Half of the visible atoms of rock salt are metals.
    means["rock_salt_percent_of_metal"] = float(100 * np.nansum(truth["rock_salt"] * atoms / 2) / np.nansum(metals))
    means["volume_nm3"] = float(inside.sum() * constants.SCAN_STEP_NM**3)
    return {
        "true_names": np.array(list(means)),
        "true_values": np.array(list(means.values())),
        "true_columns": np.array(list(columns)),
        "true_profiles": np.array(list(columns.values()), dtype=np.float32),
    }


_METHODS = ("best", "paper")
# A setting chosen on counts set aside may fall to its neighbor on another machine.
_TOLERANCE = {"values": 2.0, "measured": 0.5, "null": 0.5, "p_values": 0.1, "profiles": 5.0}
for _method in _METHODS:
    for _name in PARTICLES:
        product(
            f"study/{_method}/{_name}",
            datasets=(f"twin/{_name}",),
            parts={f"twin/{_name}": _ALL},
            tolerance=_TOLERANCE,
            after=("study/k-factors",),
            particle=_name,
            method=_method,
        )(_processed)

CONTROLS = ("segregation-only", "valence-only", "segregation-lowers-valence")
"""Controls of pristine-1 that tell whether composition leaks into valence, or valence into composition."""
for _control in CONTROLS:
    _name = f"pristine-1-{_control}"
    product(
        f"study/control/{_name}",
        datasets=(f"twin/{_name}",),
        parts={f"twin/{_name}": _ALL},
        tolerance=_TOLERANCE,
        after=("study/k-factors",),
        particle=_name,
        method="best",
    )(_processed)


@product("study/particles", after=tuple(f"study/{method}/{name}" for method in _METHODS for name in PARTICLES))
def study_particles(report: Report, files: Files) -> Arrays:
    """All particles in one table: what is true, and what either method makes of it.

    ``particles``, ``stages``, ``cycles`` : (particle,). ``quantities`` : (quantity,). ``truth``, ``best``, ``paper`` :
    (particle, quantity), NaN where a method has no such number; ``best_low``, ``best_high`` : 95 % interval.
    ``columns``, ``best_profiles``, ``paper_profiles`` : (particle, column, shell), ``true_columns``,
    ``true_profiles`` likewise. ``statements``, ``best_p`` (particle, statement), ``best_measured``, ``best_null``
    (particle, statement, 2).
    """
    import numpy as np

    from . import study_tables

    del report, files
    return study_tables.joined(PARTICLES, np.array([name.rsplit("-", 1)[0] for name in PARTICLES]))
