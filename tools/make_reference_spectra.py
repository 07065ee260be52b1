"""Compute the L2,3 reference spectra that tritomo ships, with edrixs (``pip install tritomo-helpers[references]``).

Two sets of ions: *crystal-field* (the metal ion alone in the field of its neighbors) and *charge-transfer* (with one
shell of oxygen orbitals that lends electrons to the metal). Theory gives the shape and, exactly, the intensity: a third
of a unit per 3d hole and polarization. It does not give the absolute energy, nor the L3/L2 ratio to better than tens of
percent, nor the life times; those three come from the literature, ion by ion, in the table ``IONS`` below.

Usage: ``python tools/make_reference_spectra.py [--set crystal-field] [--out FOLDER]``. The crystal-field set takes
seconds, the charge-transfer set some minutes and up to 2 GB.
"""

import argparse
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

OUT = Path(__file__).resolve().parents[1] / "tritomo_helpers" / "spectroscopy" / "data"
ROOM_TEMPERATURE_K = 300.0
SLATER_SCALE = 0.8
AXES_EV = {"Mn": (600.0, 770.0), "Co": (720.0, 910.0), "Ni": (720.0, 910.0)}
STEP_EV = 0.1
# Natural widths (FWHM, eV) of the L3 and L2 holes: xraylib 4.3, from Campbell and Papp, At. Data
# Nucl. Data Tables 77, 1 (2001).
WIDTHS_EV = {"Mn": (0.36, 0.97), "Co": (0.47, 1.13), "Ni": (0.53, 0.98)}
# Vibrations and the band width of the final states, Gaussian FWHM: ours, so that MnO looks as measured at 0.3 eV.
SOLID_STATE_EV = 0.5


class Ion(NamedTuple):
    """What one ion needs: crystal field, charge transfer, and what is calibrated."""

    element: str
    n_d: int
    ten_dq_ev: float
    tetragonal_ev: tuple[float, float]  # (D1, D3): Jahn-Teller distortion of Mn3+
    peak_ev: float  # L3 maximum
    l3_l2: float  # ratio of areas
    u_dd_ev: float
    delta_ev: float
    hybridization_ev: float  # of the e_g orbitals; t2g has 0.58 of it


# Peak energies: shifts of about 1.5 eV per valence of Mn (Garvie and Craven, Phys. Chem. Miner. 21, 191, 1994; Tan et
# al., Ultramicroscopy 116, 24, 2012) and 1.7 eV for Co (de Groot et al., J. Phys. Cond. Matter 5, 2277, 1993), rounded;
# absolute scales in the literature scatter by 0.5 eV. Ratios: Wang, Bentley and Evans, Micron 31, 355 (2000); Graetz et
# al., Phys. Rev. B 69, 235103 (2004), middle of the published ranges. Charge transfer: Bocquet et al., Phys. Rev. B 46,
# 3771 (1992), rounded; the field of the ion alone is then smaller, because part of 10Dq is hybridization.
IONS = {
    "Mn4": Ion("Mn", 3, 2.4, (0.0, 0.0), 643.6, 2.1, 6.0, 2.0, 2.7),
    "Mn3": Ion("Mn", 4, 1.5, (0.10, 0.05), 642.0, 2.7, 6.0, 4.5, 2.3),
    "Mn2": Ion("Mn", 5, 0.95, (0.0, 0.0), 640.5, 4.5, 6.0, 7.0, 1.8),
    "Co3": Ion("Co", 6, 2.4, (0.0, 0.0), 781.0, 2.7, 6.0, 2.5, 2.5),
    "Co2": Ion("Co", 7, 0.95, (0.0, 0.0), 779.3, 4.6, 6.0, 5.5, 1.9),
    "Ni2": Ion("Ni", 8, 1.10, (0.0, 0.0), 854.8, 3.0, 7.0, 4.7, 2.0),
}
IONIC_SHARE_OF_10DQ = 0.4
ENERGY = np.arange(-40.0, 60.0, 0.02)

Array = NDArray[np.float64]


def atom(ion: Ion) -> tuple[dict[str, float], dict[str, float], Any]:
    """Scaled Slater integrals without and with the core hole, and the raw data."""
    import edrixs

    data = edrixs.get_atom_data(ion.element, v_name="3d", v_noccu=ion.n_d, edge="L23")
    scaled = [{name: SLATER_SCALE * value for name, value in data[key]} for key in ("slater_i", "slater_n")]
    return scaled[0], scaled[1], data


def crystal_field(ion: Ion) -> tuple[Array, float]:
    """Spectrum on ENERGY and the exact summed intensity, one polarization, of the ion in a crystal field."""
    import edrixs
    from edrixs import models

    before, after, data = atom(ion)
    monopole = {"i": edrixs.get_F0("d", before["F2_11"], before["F4_11"])}
    monopole["n"] = edrixs.get_F0("d", after["F2_11"], after["F4_11"])
    monopole["core"] = edrixs.get_F0("dp", after["G1_12"], after["G3_12"])
    slater = (
        [monopole["i"], before["F2_11"], before["F4_11"]],
        [
            monopole["n"],
            after["F2_11"],
            after["F4_11"],
            monopole["core"],
            after["F2_12"],
            after["G1_12"],
            after["G3_12"],
        ],
    )
    problem = models.model_1v1c(
        ("d", "p"),
        v_soc=(data["v_soc_i"][0], data["v_soc_n"][0]),
        c_soc=data["c_soc"],
        v_noccu=ion.n_d,
        slater=slater,
        v_cfmat=edrixs.cf_tetragonal_d(ion.ten_dq_ev, *ion.tetragonal_ev),
    )
    return absorb(problem, n_states=14)


def charge_transfer(ion: Ion) -> tuple[Array, float]:
    """Return the same with one shell of ligand orbitals: d^n mixes with d^(n+1) and a ligand hole."""
    import edrixs
    from edrixs import models

    before, after, data = atom(ion)
    u_dd, u_pd = ion.u_dd_ev, 1.2 * ion.u_dd_ev
    level, bath = models.CT_imp_bath(u_dd, ion.delta_ev, ion.n_d)
    level_n, bath_n, core_level = models.CT_imp_bath_core_hole(u_dd, u_pd, ion.delta_ev, ion.n_d)
    slater = (
        [u_dd + edrixs.get_F0("d", before["F2_11"], before["F4_11"]), before["F2_11"], before["F4_11"]],
        [
            u_dd + edrixs.get_F0("d", after["F2_11"], after["F4_11"]),
            after["F2_11"],
            after["F4_11"],
            u_pd + edrixs.get_F0("dp", after["G1_12"], after["G3_12"]),
            after["F2_12"],
            after["G1_12"],
            after["G3_12"],
        ],
    )
    to_real = edrixs.tmat_c2r("d", True)  # real orbitals: z², zx, yz, x²-y², xy, each with both spins
    field = edrixs.cf_tetragonal_d(IONIC_SHARE_OF_10DQ * ion.ten_dq_ev, *ion.tetragonal_ev)

    def impurity(energy: float, spin_orbit: float) -> Any:
        orbital = field + edrixs.atom_hsoc("d", spin_orbit) + energy * np.eye(10)
        return edrixs.cb_op(orbital, to_real)

    share = np.repeat([1.0, 0.58, 0.58, 1.0, 0.58], 2)
    problem = models.model_siam(
        ("d", "p"),
        1,
        v_noccu=ion.n_d + 10,
        c_level=core_level,
        c_soc=data["c_soc"],
        trans_c2n=to_real,
        imp_mat=impurity(level, data["v_soc_i"][0]),
        imp_mat_n=impurity(level_n, data["v_soc_n"][0]),
        bath_level=np.full((1, 10), bath, dtype=complex),
        bath_level_n=np.full((1, 10), bath_n, dtype=complex),
        hyb=(ion.hybridization_ev * share)[None, :].astype(complex),
        slater=slater,
        sparse_U=True,
    )
    return absorb(problem, n_states=12)


def absorb(problem: tuple[Any, ...], *, n_states: int) -> tuple[Array, float]:
    """Isotropic absorption at room temperature, centered on its mean energy, and its exact intensity."""
    from edrixs import solvers

    hamiltonian, excited, dipole = solvers.get_ops(*problem[:7])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # small matrices: the eigensolver says that it turns to a dense one
        energies, states = solvers.ed(hamiltonian, n_states, shift=problem[7])
    order = np.argsort(energies)
    energies, states = energies[order], states[:, order]
    weights = np.exp(-(energies - energies[0]) / (8.617e-5 * ROOM_TEMPERATURE_K))
    kept = weights > 1e-4 * weights[0]
    energies, states, weights = energies[kept], states[:, kept], weights[kept] / weights[kept].sum()
    print("   states kept", kept.sum(), "dimension", excited.shape[0], flush=True)
    total = sum(w * np.linalg.norm(d @ states[:, i]) ** 2 for i, w in enumerate(weights) for d in dipole) / 3
    # The mean excitation energy places the grid: <T† H T> / <T† T> - E0.
    mean = sum(
        w
        * (
            np.vdot(d @ states[:, i], excited @ (d @ states[:, i])).real
            - energies[i] * np.linalg.norm(d @ states[:, i]) ** 2
        )
        for i, w in enumerate(weights)
        for d in dipole
    ) / (3 * total)
    spectrum = solvers.xas(
        energies, states, excited, dipole, ENERGY + mean, gamma_c=0.05, temperature=ROOM_TEMPERATURE_K
    )
    return np.asarray(spectrum[:, 0].real), float(total)


def calibrate(ion: Ion, spectrum: Array, total: float) -> Array:
    """Shift, rescale L2 against L3, broaden each by its life time; the area is three times `total`: the hole number."""
    smooth = convolve(spectrum, lorentz_ev=0.3, gauss_ev=SOLID_STATE_EV)
    peak = int(np.argmax(smooth))
    gap = {"Mn": 10.3, "Co": 14.6, "Ni": 17.3}[ion.element]
    from_peak = ENERGY - ENERGY[peak]
    between = (from_peak > 0.35 * gap) & (from_peak < 0.9 * gap)
    valley = np.flatnonzero(between)[np.argmin(smooth[between])]
    l3, l2 = spectrum.copy(), spectrum.copy()
    l3[valley:], l2[:valley] = 0, 0
    print(f"   L3/L2 computed {l3.sum() / l2.sum():.2f}, calibrated {ion.l3_l2}; intensity per pol. {total:.4f}")
    widths = WIDTHS_EV[ion.element]
    parts = []
    for line, width, area in ((l3, widths[0], ion.l3_l2), (l2, widths[1], 1.0)):
        parts.append(convolve(line / line.sum() * area, lorentz_ev=width, gauss_ev=SOLID_STATE_EV))
    shape = parts[0] + parts[1]
    low, high = AXES_EV[ion.element]
    axis = np.arange(low, high + STEP_EV / 2, STEP_EV)
    shift = ion.peak_ev - ENERGY[int(np.argmax(shape))]
    result = np.interp(axis, ENERGY + shift, shape, left=0, right=0)
    return np.asarray(result / (result.sum() * STEP_EV) * 3 * total)


def convolve(spectrum: Array, *, lorentz_ev: float, gauss_ev: float) -> Array:
    """Convolve with a Voigt profile (FWHM of its two parts), zero-padded."""
    step = ENERGY[1] - ENERGY[0]
    n = 2 * spectrum.size
    frequency = np.fft.rfftfreq(n, step)
    transfer = np.exp(-np.pi * lorentz_ev * frequency) * np.exp(
        -((np.pi * gauss_ev * frequency) ** 2) / (4 * np.log(2))
    )
    return np.asarray(np.fft.irfft(np.fft.rfft(spectrum, n) * transfer, n)[: spectrum.size])


def write(name: str, element: str, spectra: dict[str, Array], totals: dict[str, float], out: Path) -> None:
    """Write one CSV: comment lines with what is known, then energy_ev and one column per state."""
    low, high = AXES_EV[element]
    axis = np.arange(low, high + STEP_EV / 2, STEP_EV)
    states = list(spectra)
    lines = [
        f"# {name} L2,3 spectra of {element}, computed with edrixs by tools/make_reference_spectra.py",
        "# unit: 3d holes per eV (the area of a column is its effective number of 3d holes)",
        f"# broadening: life times {WIDTHS_EV[element]} eV (L3, L2) and {SOLID_STATE_EV} eV Gaussian, no instrument",
    ]
    for state in states:
        ion = IONS[state]
        lines.append(
            f"# {state}: L3 at {ion.peak_ev} eV, L3/L2 {ion.l3_l2}, "
            f"computed intensity {totals[state]:.6f} per polarization"
        )
    lines.append(",".join(["energy_ev", *states]))
    for index, energy in enumerate(axis):
        lines.append(",".join([f"{energy:.1f}", *(f"{spectra[s][index]:.4g}" for s in states)]))
    (out / f"{name}-{element}.csv").write_text("\n".join(lines) + "\n")


def main() -> None:
    """Compute and write the sets that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", choices=["crystal-field", "charge-transfer"], action="append", dest="sets")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.sets or ["crystal-field", "charge-transfer"]:
        model = crystal_field if name == "crystal-field" else charge_transfer
        for element in AXES_EV:
            spectra: dict[str, Array] = {}
            totals: dict[str, float] = {}
            for state, ion in IONS.items():
                if ion.element == element:
                    print(name, state, flush=True)
                    raw, totals[state] = model(ion)
                    spectra[state] = calibrate(ion, raw, totals[state])
            write(name, element, spectra, totals, options.out)


if __name__ == "__main__":
    main()
