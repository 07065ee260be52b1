r"""X-rays from a thin specimen: how many, at which energies, how wide, how strongly absorbed.

The number of photons of one line into a solid angle Ω, from N electrons through n t atoms per area, is

.. math:: I = N\, n t\; \sigma_\mathrm{ion}\, \omega\, r\; \frac{\Omega}{4\pi}

with the ionization cross-section σ of the shell (vacancies moved by Coster-Kronig transitions included), its
fluorescence yield ω and the share r of the line among the shell's radiative transitions.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from .._typing import Floats
from .._validation import check_option, check_positive, fail
from ..constants import (
    ATOMIC_NUMBER,
    ATOMIC_WEIGHT_G_PER_MOL,
    BARN_NM2,
    BOHR_RADIUS_NM,
    ELECTRON_REST_ENERGY_KEV,
    FINE_STRUCTURE,
    XRAY_LINES,
    XrayLine,
)

# Parameters of the analytic formula of Bote, Salvat, Jablonski and Powell, At. Data Nucl. Data Tables 95, 871 (2009),
# as distributed by NIST in the public domain: (b, A, g1, g2, g3, g4, binding energy in eV) by element and subshell.
# They hold above 16 times the binding energy, which a microscope's beam exceeds for every shell listed.
_BOTE_SALVAT: Final = MappingProxyType(
    {
        ("C", "K"): (1.21, 2.61e-6, 0.0176, 8.57, -0.0675, 0.0467, 291.001),
        ("O", "K"): (1.19, 1.40e-6, 0.0258, 8.01, -0.0898, 0.0571, 537.276),
        ("F", "K"): (1.18, 1.09e-6, 0.0305, 7.78, -0.1050, 0.0634, 688.376),
        ("Mn", "K"): (0.894, 9.18e-8, 0.203, 6.44, -0.698, 0.280, 6510.94),
        ("Mn", "L1"): (1.07, 6.43e-7, 0.0399, 8.64, -0.144, 0.0741, 766.439),
        ("Mn", "L2"): (0.981, 1.30e-6, 0.0300, 7.55, -0.112, 0.0662, 662.937),
        ("Mn", "L3"): (0.981, 2.66e-6, 0.0277, 7.55, -0.0767, 0.0571, 652.103),
        ("Co", "K"): (0.832, 7.67e-8, 0.248, 6.35, -0.850, 0.358, 7680.79),
        ("Co", "L1"): (1.05, 5.40e-7, 0.0443, 8.43, -0.156, 0.0770, 922.953),
        ("Co", "L2"): (0.971, 1.06e-6, 0.0348, 7.40, -0.132, 0.0734, 807.535),
        ("Co", "L3"): (0.971, 2.16e-6, 0.0313, 7.39, -0.0832, 0.0598, 792.193),
        ("Ni", "K"): (0.799, 7.04e-8, 0.273, 6.30, -0.931, 0.401, 8303.01),
        ("Ni", "L1"): (1.03, 4.97e-7, 0.0470, 8.33, -0.165, 0.0804, 1006.52),
        ("Ni", "L2"): (0.966, 9.60e-7, 0.0335, 7.32, -0.112, 0.0610, 885.022),
        ("Ni", "L3"): (0.965, 1.97e-6, 0.0344, 7.32, -0.0935, 0.0662, 866.955),
        ("Cu", "K"): (0.765, 6.49e-8, 0.302, 6.26, -1.020, 0.454, 8950.25),
        ("Cu", "L1"): (1.02, 4.59e-7, 0.0494, 8.23, -0.173, 0.0823, 1093.70),
        ("Cu", "L2"): (0.959, 8.76e-7, 0.0401, 7.26, -0.151, 0.0813, 966.028),
        ("Cu", "L3"): (0.959, 1.80e-6, 0.0361, 7.25, -0.0956, 0.0668, 944.886),
    },
)
# Energy per electron-hole pair in silicon times its Fano factor, times 8 ln 2, in eV: the growth of FWHM² with energy
# (Knoll, Radiation Detection and Measurement, 4th ed., 2010, chapter 13: 3.65 eV and 0.1235).
_FANO_EV: Final = 8 * np.log(2) * 3.65 * 0.1235


def ionization_cross_section(element: str, shell: str, *, beam_energy_kev: float = 300.0) -> float:
    r"""Cross-section for ionizing a subshell by electron impact.

    .. math:: \sigma = \frac{U}{U+b}\, 4\pi a_0^2 \frac{A}{\beta^2}
              \left\{[\ln X^2 - \beta^2]\Big(1 + \frac{g_1}{X}\Big)
              + g_2 + g_3 (1-\beta^2)^{1/4} + \frac{g_4}{X}\right\}

    with U the beam energy over the binding energy and X the electron's momentum in units of m c.

    Parameters
    ----------
    element, shell : str
        Such as ``"Mn", "L3"``.
    beam_energy_kev : float, default 300
        At least 16 times the binding energy.

    Returns
    -------
    float
        barn per atom.

    Raises
    ------
    ValueError
        If the subshell is not tabulated or the beam energy is too low for the formula.

    References
    ----------
    Bote, Salvat, Jablonski and Powell, At. Data Nucl. Data Tables 95, 871 (2009).

    Examples
    --------
    >>> round(ionization_cross_section("O", "K"))
    6356
    """
    if (element, shell) not in _BOTE_SALVAT:
        known = ", ".join(f"{el} {name}" for el, name in _BOTE_SALVAT)
        raise fail("subshell", expected=f"one of {known}", got=f"{element} {shell}", remedy="choose one of these")
    b, a, g1, g2, g3, g4, binding_ev = _BOTE_SALVAT[element, shell]
    beam = check_positive(beam_energy_kev, "beam_energy_kev")
    overvoltage = beam * 1e3 / binding_ev
    if overvoltage < 16:
        raise fail(
            "beam_energy_kev",
            expected=f"at least {16 * binding_ev / 1e3:.1f} for {element} {shell}",
            got=beam,
            remedy="raise the beam energy: the formula is the one for fast electrons",
        )
    momentum = np.sqrt(beam * (beam + 2 * ELECTRON_REST_ENERGY_KEV)) / ELECTRON_REST_ENERGY_KEV
    beta2 = momentum**2 / (1 + momentum**2)
    braces = (np.log(momentum**2) - beta2) * (1 + g1 / momentum) + g2 + g3 * (1 - beta2) ** 0.25 + g4 / momentum
    area = 4 * np.pi * BOHR_RADIUS_NM**2 / BARN_NM2
    return float(overvoltage / (overvoltage + b) * area * a / beta2 * braces)


def vacancy_cross_section(element: str, shell: str, *, beam_energy_kev: float = 300.0) -> float:
    """Cross-section for a vacancy in a subshell, direct or moved there by Coster-Kronig transitions.

    Parameters
    ----------
    element, shell : str
        Such as ``"Mn", "L3"``.
    beam_energy_kev : float, default 300
        Beam energy.

    Returns
    -------
    float
        barn per atom.

    Notes
    -----
    L vacancies left by K emission are neglected (a few percent of the direct ones).

    Examples
    --------
    >>> vacancy_cross_section("Mn", "L3") / ionization_cross_section("Mn", "L3")
    1.16
    """
    import xraylib

    total = ionization_cross_section(element, shell, beam_energy_kev=beam_energy_kev)
    for donor, name in {"L2": (("L1", "FL12"),), "L3": (("L1", "FL13"), ("L2", "FL23"))}.get(shell, ()):
        try:
            share = xraylib.CosKronTransProb(ATOMIC_NUMBER[element], getattr(xraylib, f"{name}_TRANS"))
        except ValueError:  # the library raises where the transition is too weak to be tabulated
            continue
        total += share * vacancy_cross_section(element, donor, beam_energy_kev=beam_energy_kev)
    return total


def emission_cross_section(line: XrayLine, *, beam_energy_kev: float = 300.0) -> float:
    """Cross-section for emitting one X-ray line: vacancies x fluorescence yield x radiative rate.

    Parameters
    ----------
    line : XrayLine
        One of :data:`tritomo_helpers.constants.XRAY_LINES`.
    beam_energy_kev : float, default 300
        Beam energy.

    Returns
    -------
    float
        barn per atom, into the full sphere.

    Examples
    --------
    >>> [round(emission_cross_section(line), 1) for line in lines(["O"])]
    [43.9]
    """
    import xraylib

    fluorescence = xraylib.FluorYield(ATOMIC_NUMBER[line.element], getattr(xraylib, f"{line.shell}_SHELL"))
    vacancies = vacancy_cross_section(line.element, line.shell, beam_energy_kev=beam_energy_kev)
    return float(vacancies * fluorescence * line.radiative_rate)


def lines(elements: Iterable[str]) -> tuple[XrayLine, ...]:
    """All tabulated lines of some elements, in order of the table.

    Parameters
    ----------
    elements : iterable of str
        Chemical symbols.

    Returns
    -------
    tuple of XrayLine

    Raises
    ------
    ValueError
        If an element has no line here (lithium has none that the detector sees).

    Examples
    --------
    >>> [line.name for line in lines(["O", "Mn"])]
    ['Ka', 'Ll', 'Ln', 'La', 'Lb1', 'Lb3,4', 'Ka', 'Kb']
    """
    wanted = list(elements)
    known = {line.element for line in XRAY_LINES}
    for element in wanted:
        check_option(element, "elements", sorted(known))
    return tuple(line for line in XRAY_LINES if line.element in wanted)


def mass_absorption(element: str, energy_kev: ArrayLike) -> Floats:
    """Mass absorption coefficient of an element for X-rays.

    Parameters
    ----------
    element : str
        Chemical symbol.
    energy_kev : array_like
        Photon energy, keV.

    Returns
    -------
    ndarray
        cm²/g, total cross-section of xraylib 4.

    Examples
    --------
    >>> mass_absorption("O", [0.6]).round(-3)
    array([16000.])
    """
    import xraylib

    energies = np.asarray(energy_kev, dtype=np.float64)
    number = ATOMIC_NUMBER[element]
    values = [xraylib.CS_Total(number, float(energy)) for energy in energies.ravel()]
    return np.asarray(values).reshape(energies.shape)


def mass_absorption_of(composition: Mapping[str, float], energy_kev: ArrayLike) -> Floats:
    """Mass absorption coefficient of a compound, from its atoms per formula unit (or per volume).

    Parameters
    ----------
    composition : mapping of str to float
        Atoms of each element, in any common unit.
    energy_kev : array_like
        Photon energy, keV.

    Returns
    -------
    ndarray
        cm²/g.

    Examples
    --------
    >>> from tritomo_helpers.constants import NCM111_FORMULA
    >>> mass_absorption_of(NCM111_FORMULA, [0.525]).round(-1)
    array([2940.])
    """
    masses = {element: n * ATOMIC_WEIGHT_G_PER_MOL[element] for element, n in composition.items()}
    total = sum(masses.values())
    parts = [mass / total * mass_absorption(element, energy_kev) for element, mass in masses.items()]
    return np.asarray(np.sum(parts, axis=0))


def detector_fwhm_ev(energy_kev: ArrayLike, *, resolution_ev: float = 130.0) -> Floats:
    r"""Width of a line in a silicon drift detector.

    .. math:: \mathrm{FWHM}^2 = \mathrm{FWHM}_\mathrm{Mn\,K\alpha}^2 + 8 \ln 2\; \varepsilon F\, (E - 5895\;\mathrm{eV})

    Parameters
    ----------
    energy_kev : array_like
        Photon energy, keV.
    resolution_ev : float, default 130
        FWHM at Mn Kα, eV: how detectors are specified.

    Returns
    -------
    ndarray
        FWHM, eV.

    Raises
    ------
    ValueError
        If the resolution is better than charge statistics allow (about 121 eV).

    Examples
    --------
    >>> detector_fwhm_ev([0.525, 0.637, 0.776, 0.851]).round()
    array([59., 61., 64., 65.])
    """
    noise2 = check_positive(resolution_ev, "resolution_ev") ** 2 - _FANO_EV * 5895.0
    if noise2 < 0:
        raise fail(
            "resolution_ev",
            expected=f"at least {np.sqrt(_FANO_EV * 5895.0):.0f} eV at Mn Ka",
            got=resolution_ev,
            remedy="give the FWHM at Mn Ka of a silicon detector, such as 130",
        )
    return np.asarray(np.sqrt(noise2 + _FANO_EV * 1e3 * np.asarray(energy_kev, dtype=np.float64)))


def line_shape(energy_ev: ArrayLike, line_kev: float, *, resolution_ev: float = 130.0) -> Floats:
    """Share of a line's counts that each channel receives.

    The Gaussian of the detector is integrated over each channel, so that counts are conserved however coarse the axis.
    Natural widths (below 2 eV) are neglected.

    Parameters
    ----------
    energy_ev : array_like, shape (energy,)
        Channel centers, evenly spaced, eV.
    line_kev : float
        Line energy, keV.
    resolution_ev : float, default 130
        FWHM at Mn Kα, eV.

    Returns
    -------
    ndarray, shape (energy,)
        Sums to 1 when the line is well inside the axis.

    Examples
    --------
    >>> float(line_shape(np.arange(0.0, 2000.0, 10.0), 0.525).sum())
    1.0
    """
    from scipy.special import erf

    energies = np.asarray(energy_ev, dtype=np.float64)
    step = (energies[-1] - energies[0]) / (energies.size - 1)
    edges = np.append(energies - step / 2, energies[-1] + step / 2)
    sigma = float(detector_fwhm_ev(line_kev, resolution_ev=resolution_ev)) / np.sqrt(8 * np.log(2))
    return np.asarray(np.diff(erf((edges - line_kev * 1e3) / (np.sqrt(2) * sigma))) / 2)


def bremsstrahlung_cross_section(
    element: str, energy_kev: ArrayLike, *, beam_energy_kev: float = 300.0, elevation_deg: float = 18.0
) -> Floats:
    r"""Bremsstrahlung towards a detector on the beam's side of the specimen, as if it went into the full sphere.

    Kramers' spectrum with the logarithm of the Born approximation, tipped forward by the speed of the electron:

    .. math:: \frac{d\sigma}{dk} = \frac{16}{3}\frac{\alpha r_e^2 Z^2}{\beta^2 k}
              \ln\frac{1 + \sqrt{1-x}}{1 - \sqrt{1-x}}\; w(\vartheta), \qquad x = k / T_0

    Parameters
    ----------
    element : str
        Chemical symbol.
    energy_kev : array_like
        Photon energy k, keV.
    beam_energy_kev : float, default 300
        T0.
    elevation_deg : float, default 18
        Elevation of the detector above the specimen plane, towards the electron source.

    Returns
    -------
    ndarray
        barn/keV/atom. Multiply by Ω / 4π.

    References
    ----------
    Jackson, Classical Electrodynamics, 3rd ed. (1999), chapter 15: w is the pattern (1 + cos²) of soft photons seen
    from the moving electron.

    Notes
    -----
    Good to tens of percent, which is enough for a background that is a tenth of the lines.

    Examples
    --------
    >>> float(bremsstrahlung_cross_section("Mn", 1.0))
    7.77
    """
    photon = np.asarray(energy_kev, dtype=np.float64)
    beam = check_positive(beam_energy_kev, "beam_energy_kev")
    gamma = 1 + beam / ELECTRON_REST_ENERGY_KEV
    beta = np.sqrt(1 - gamma**-2)
    forward = -np.sin(np.deg2rad(elevation_deg))  # cosine of the angle between photon and electron
    rest = (forward - beta) / (1 - beta * forward)
    pattern = 0.75 * (1 + rest**2) * (1 - beta**2) / (1 - beta * forward) ** 2
    root = np.sqrt(np.clip(1 - photon / beam, 0, 1))
    logarithm = np.log1p(root) - np.log(np.maximum(1 - root, 1e-300))
    classical_radius2 = FINE_STRUCTURE**4 * BOHR_RADIUS_NM**2 / BARN_NM2
    scale = 16 / 3 * FINE_STRUCTURE * classical_radius2 * ATOMIC_NUMBER[element] ** 2 / beta**2
    return np.asarray(np.where(root > 0, scale / photon * logarithm * pattern, 0.0))
