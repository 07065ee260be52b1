"""Tables of the study on valence: what each method is off by, over stages, mismatches, repeats and nulls."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..store.results import Arrays
from .registry import Report, product

Files = Mapping[str, Mapping[str, Path]]
_STAGES = ("pristine-1", "cycled-50-1", "cycled-100-1", "cycled-200-1")
_STATES = ("Mn4", "Mn3", "Mn2", "Co3")


def _valence_particle(
    report: Report,
    files: Files,  # noqa: ARG001  made from phantoms, not from a dataset
    *,
    particle: str,
    pixels: int,
    tilt_angles_deg: tuple[float, ...],
) -> Arrays:
    """Bias of the whole particle's percentages by the forward model: noise-free counts, weighted like a full series.

    ``scenario``, ``state`` : text, the axes. ``error`` : float (scenario, state), points. ``chi2`` : float (scenario,),
    of the counts of 15 tilts of 64 x 64 pixels. ``interval`` : float (state, 2): where the truth has the shape of the
    second set, what the first and the second alone say minus the truth.
    """
    import numpy as np

    from .. import phantoms, valence
    from ..containers import SpectrumTiltSeries
    from ..simulation import Acquisition, Eels, rays
    from ..simulation import eels as spectrometer
    from ..spectroscopy import references

    given = {el: {name: references.load(el, name) for name in references.SETS} for el in ("Mn", "Co", "Ni")}
    first = {el: sets["crystal-field"] for el, sets in given.items()}

    def with_rows(el: str, rows: Any) -> references.ReferenceSet:
        return references.ReferenceSet(first[el].name, first[el].states, first[el].energy_ev, np.stack(rows))

    # 10 % wider than a zero-loss peak of 1 eV.
    distorted = tuple(s.changed(shift_ev=0.1, fwhm_ev=0.458, l3_l2_factor=1.1) for s in first.values())
    moves = {"Mn": (0.1, 0.0, -0.1), "Co": (0.1, -0.1), "Ni": (0.0,)}
    shifted = tuple(
        with_rows(el, [np.interp(s.energy_ev - d, s.energy_ev, r) for r, d in zip(s.spectra, moves[el], strict=True)])
        for el, s in first.items()
    )
    between = tuple(
        with_rows(el, list(0.5 * s.spectra + 0.5 * given[el]["charge-transfer"].on(s.energy_ev)))
        for el, s in first.items()
    )
    both = tuple(references.SETS)
    exact: dict[str, Any] = {"references": "crystal-field", "calibrate": False}
    scenarios: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "hydrogenic": ({}, exact),
        "Dirac-Hartree-Slater": ({"continuum": "dirac-hartree-slater"}, exact),
        "hydrogenic with EXELFS": ({"exelfs": 0.05}, exact),
        "Dirac-Hartree-Slater with EXELFS": ({"continuum": "dirac-hartree-slater", "exelfs": 0.05}, exact),
        "shift, width, L3/L2": ({"references": distorted}, {"references": "crystal-field"}),
        "ion shifts": ({"references": shifted}, {"references": "crystal-field"}),
        "offset of the core loss": ({"core_offset_ev": 0.1}, {"references": "crystal-field"}),
        "shape between the sets": ({"references": between}, {"references": both}),
        "other set, without the mix": ({"references": "charge-transfer"}, {"references": "crystal-field"}),
    }
    # Each pixel stands for several of the full series.
    share = pixels**2 * len(tilt_angles_deg) / (15 * 64**2)
    specimen = phantoms.particle(particle, shape=pixels)

    def series(changes: dict[str, Any]) -> tuple[Any, Any, dict[str, float]]:
        scan = Acquisition(
            tilt_angles_deg=tilt_angles_deg,
            scan_shape=(pixels, pixels),
            pixel_size_nm=specimen.voxel_size_nm,
            beam_broadening=False,
            repeats=False,
            eels=Eels(counting_noise=False, **changes),
        )
        rng = np.random.default_rng(1)
        counts: dict[bool, list[Any]] = {False: [], True: []}
        atoms = dict.fromkeys(("Mn4", "Mn3", "Mn2", "Co3", "Co2"), 0.0)
        for exposure in rays.plan(scan, rng=rng):
            maps = rays.species_maps(specimen, scan, exposure)
            angle = exposure.angle_deg
            collected = spectrometer.share_collected(maps, scan, angle_deg=angle).ravel()
            thickness = spectrometer.mass_thickness(maps, scan, angle_deg=angle).ravel()
            drift = spectrometer.energy_drift((pixels, pixels), scan.eels, rng=rng).ravel()
            film = {"C": np.full(pixels**2, rays.film_atoms_per_nm2(scan, angle_deg=angle))}
            here = {name: values.ravel() for name, values in maps.items()} | film
            for core, made in counts.items():
                expected = spectrometer.expected_spectra(here, thickness, drift, scan, core=core)
                made.append((expected * (scan.eels.efficiency * collected[:, None])).reshape(pixels, pixels, -1))
            atoms = {s: n + float(maps[s].sum()) for s, n in atoms.items()}
        axes = spectrometer.axes(scan)
        low_loss, core_loss = (
            SpectrumTiltSeries(
                np.stack(counts[c]).astype(np.float32), np.array(tilt_angles_deg), axes[name], scan.pixel_size_nm
            )
            for c, name in ((False, "low_loss"), (True, "core_loss"))
        )
        return low_loss, core_loss, _percent(atoms)

    def fitted(low: Any, core: Any, options: dict[str, Any]) -> tuple[Any, dict[str, float]]:
        maps = valence.fit_spectra(core, low, variance_per_count=share, readout_variance=share, **options)
        inside = maps.thickness.images > valence.VACUUM_THICKNESS
        return maps, _percent({s: np.nansum(a.images[inside]) for s, a in maps.amplitudes.items()})

    error: list[list[float]] = []
    chi2, interval = [], []
    for name, (changes, options) in scenarios.items():
        report(len(error) / len(scenarios), name)
        low, core, truth = series(changes)
        maps, percent = fitted(low, core, options)
        error.append([percent[s] - truth[s] for s in _STATES])
        chi2.append(maps.chi2)
        if name == "other set, without the mix":
            _, other = fitted(low, core, {"references": "charge-transfer"})
            interval = [[percent[s] - truth[s], other[s] - truth[s]] for s in _STATES]
    # Noise-free counts have no misfit but that of the model: noise would add 1.
    return {
        "scenario": np.array(list(scenarios)),
        "state": np.array(_STATES),
        "error": np.array(error),
        "chi2": 1 + np.array(chi2),
        "interval": np.array(interval),
    }


for _stage in _STAGES:
    product(
        f"study/valence-particle-{_stage}",
        tolerance={"error": 0.05, "chi2": 0.02, "interval": 0.1},
        particle=_stage,
        pixels=24,
        tilt_angles_deg=(0.0, 50.0),
    )(_valence_particle)


def _valence_paper(
    report: Report,
    files: Files,  # noqa: ARG001  made from phantoms, not from a dataset
    *,
    particle: str,
    exponents: Mapping[str, tuple[float, ...]],
    pixels: int,
) -> Arrays:
    """Whole-particle percentages of the published chain from one image, beside the forward model; exact references.

    ``variant`` : text: each exponent grid noisy, then noise-free, gate half and twice as wide, Mn L1 removed, and the
    forward model. ``error`` : float (variant, state), points before white-line factors. ``rejected`` : float (variant,
    edge), percent of the spectra in the mask, Mn and Co.
    """
    import numpy as np

    from .. import alignment, eels, phantoms, simulation, valence
    from ..simulation import rays

    mn, co = (eels.SweepSettings.for_edge(edge) for edge in ("Mn L", "Co L"))

    def both(**changes: Any) -> dict[str, Any]:
        return {"settings": {"Mn L": mn.replace(**changes), "Co L": co.replace(**changes)}}

    def gate(factor: float) -> dict[str, Any]:
        return {
            "settings": {
                "Mn L": mn.replace(max_pre_slope=factor * mn.max_pre_slope),
                "Co L": co.replace(max_pre_slope=factor * co.max_pre_slope),
            }
        }

    variants: dict[str, tuple[bool, dict[str, Any]]] = {
        **{f"exponents {name}": (True, both(exponents=grid)) for name, grid in exponents.items()},
        "noise-free": (False, {}),
        "gate half as wide": (True, gate(0.5)),
        "gate twice as wide": (True, gate(2.0)),
        "Mn L1 removed": (True, {"remove_l1": True}),
        "Mn L1 removed, noise-free": (False, {"remove_l1": True}),
    }
    specimen = phantoms.particle(particle, shape=pixels)
    scans = {}
    for noisy in (True, False):
        scan = simulation.Acquisition(
            signals=("eels",),
            tilt_angles_deg=(0.0,),
            scan_shape=(pixels, pixels),
            pixel_size_nm=specimen.voxel_size_nm,
            misalignment_px=0.0,
            drift_nm=0.0,
            tilt_error_deg=0.0,
            beam_broadening=False,
            repeats=False,
            eels=simulation.Eels(counting_noise=noisy),
        )
        got = simulation.acquire(specimen, scan, rng=np.random.default_rng(1))
        assert got.low_loss is not None
        assert got.core_loss is not None
        scans[noisy] = got.low_loss, got.core_loss
    exposure = rays.plan(scan, rng=np.random.default_rng(1))[0]
    atoms = rays.species_maps(specimen, scan, exposure)
    mask = np.asarray(atoms["Mn4"] + atoms["Mn3"] + atoms["Mn2"] > 150)
    truth = _percent({s: atoms[s][mask].sum() for s in ("Mn4", "Mn3", "Mn2", "Co3", "Co2")})
    known = alignment.Alignment(np.zeros((1, 2)), np.zeros(1))
    error: list[list[float]] = []
    rejected = []
    for name, (noisy, options) in variants.items():
        report(len(error) / (len(variants) + 1), name)
        low, core = scans[noisy]
        maps = valence.published_maps(low, core, alignment=known, masks=mask[None], method="nnls", **options)
        percent = _percent({s: ts.images.sum() for s, ts in maps.weights.items()})
        error.append([percent[s] - truth[s] for s in _STATES])
        rejected.append([100 * float(maps.rejected_share[edge][0]) for edge in ("Mn L", "Co L")])
    low, core = scans[True]
    fitted = valence.fit_spectra(core, low, references="crystal-field", calibrate=False)
    percent = _percent({s: np.nansum(a.images[0][mask]) for s, a in fitted.amplitudes.items()})
    error.append([percent[s] - truth[s] for s in _STATES])
    return {
        "variant": np.array([*variants, "forward model"]),
        "state": np.array(_STATES),
        "error": np.array(error),
        "rejected": np.array([*rejected, [0.0, 0.0]]),
    }


for _stage in _STAGES:
    product(
        f"study/valence-paper-{_stage}",
        tolerance={"error": 0.5, "rejected": 1.0},
        particle=_stage,
        exponents={
            "2 to 4": (2.0, 3.0, 4.0),
            "2 to 6": (2.0, 3.0, 4.0, 5.0, 6.0),
            "1 to 6": (1.0, 2.0, 3.0, 4.0, 5.0, 6.0),
        },
        pixels=20,
    )(_valence_paper)


def _percent(sums: Mapping[str, Any]) -> dict[str, float]:
    totals = {el: sum(float(v) for s, v in sums.items() if s[:2] == el) for el in ("Mn", "Co")}
    return {s: 100 * float(v) / totals[s[:2]] for s, v in sums.items() if s[:2] in totals}
