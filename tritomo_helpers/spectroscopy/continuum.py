r"""Inelastic cross-sections per eV: edge continua, and the smooth losses of the outer electrons below them.

Every cross-section here is a generalized oscillator strength df/dE (the atom) times a kinematic factor and an angular
integral (the microscope):

.. math:: \frac{d\sigma}{dE} = 4\pi a_0^2 \frac{R}{E}\frac{R}{T}
          \int w(\theta)\, \frac{df}{dE}(q, E)\; d\ln (q a_0)^2

with :math:`T = m v^2 / 2`, R the Rydberg energy and w(θ) the share of the electrons scattered by θ that the collection
aperture takes in when the incident cone is filled evenly.
"""

from collections.abc import Callable
from types import MappingProxyType
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .._typing import Floats
from .._validation import check_finite, check_option, check_positive, checked, fail
from ..constants import (
    ATOMIC_NUMBER,
    BARN_NM2,
    BOHR_RADIUS_NM,
    EDGE_ONSET_EV,
    ELECTRON_REST_ENERGY_KEV,
    FINE_STRUCTURE,
    RYDBERG_EV,
)
from .kinematics import kinetic_mass_energy_ev

OscillatorStrength = Callable[["Edge", Floats, Floats], Floats]
"""A continuum model: (edge, energy_ev, (q a0)²) -> df/dE per eV and atom; the last two broadcast."""

_BOHR_AREA_BARN: Final = 4 * np.pi * BOHR_RADIUS_NM**2 / BARN_NM2
# Photo-absorption cross-section of a unit oscillator strength per eV.
_PHOTO_BARN_EV: Final = np.pi * FINE_STRUCTURE * RYDBERG_EV * _BOHR_AREA_BARN
# Gauss-Legendre nodes in ln q² on each side of the angle where the aperture begins to cut the cone.
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(48)

# Exponent of the empirical correction of SIGMAL3, by element: Egerton, Electron Energy-Loss Spectroscopy in the
# Electron Microscope, 3rd ed. (2011), appendix B.
_SIGMAL3_EXPONENT: Final = MappingProxyType({"Mn": 0.16, "Co": 0.19, "Ni": 0.22, "Cu": 0.14})


class Edge(NamedTuple):
    """One ionization edge: element, shell (``"K"``, ``"L2,3"`` or ``"L1"``) and its onset in eV."""

    element: str
    shell: str
    onset_ev: float


@checked
def parse_edge(edge: str) -> Edge:
    """Read an edge such as ``"Mn"``, ``"Mn L"``, ``"Mn L2,3"``, ``"Co L1"`` or ``"O K"``.

    Parameters
    ----------
    edge : str
        Element, then optionally the shell. Without a shell: K for C, O and F, L2,3 for the metals.

    Returns
    -------
    Edge
        L2 and L3 are one edge that begins at L3.

    Raises
    ------
    ValueError
        If the element or shell is not tabulated.

    Examples
    --------
    >>> parse_edge("Mn L3")
    Edge(element='Mn', shell='L2,3', onset_ev=640.0)
    """
    element, _, shell = edge.strip().replace("_", " ").partition(" ")
    shell = shell.replace(" ", "").upper()
    tabulated = [name for el, name in EDGE_ONSET_EV if el == element]
    if not shell and tabulated:
        shell = "K" if "K" in tabulated else "L"
    if shell in {"L", "L3", "L2", "L23", "L32", "L2,3", "L3,2"}:
        shell, key = "L2,3", "L3"
    else:
        key = shell
    if key not in tabulated:
        known = ", ".join(dict.fromkeys(f"{el} {name}" for el, name in EDGE_ONSET_EV))
        raise fail(
            "edge", expected=f"one of {known}", got=repr(edge), remedy="write the element, a space and the shell"
        )
    return Edge(element, shell, EDGE_ONSET_EV[element, key])


# --- The atom: oscillator strengths --------------------------------------------------------------------------------
def _coulomb_factor(k2: Floats, denominator: Floats, scale: float) -> Floats:
    """Coulomb factor of a hydrogenic continuum state; `scale` is 2 for K, 1 for L; k2 < 0 is bound-like."""
    k = np.maximum(np.sqrt(np.abs(k2)), 1e-6)
    angle = np.arctan2(scale * k, denominator)
    above = np.exp(-2 / k * angle) / -np.expm1(-2 * np.pi / k)
    ratio = (denominator + scale * k) / np.where(denominator > scale * k, denominator - scale * k, np.inf)
    below = np.exp(-np.log(np.where(ratio > 0, ratio, 1.0)) / k)
    return np.where(k2 > 0, above, below)


def _hydrogenic_k(element: str, energy: Floats, q2: Floats) -> Floats:
    """df/dE of both 1s electrons in the field of a charge Z - 0.5 (SIGMAK3)."""
    charge2 = (ATOMIC_NUMBER[element] - 0.5) ** 2
    q, k2 = q2 / charge2, energy / (RYDBERG_EV * charge2) - 1
    denominator = q - k2 + 1
    shape = (q + k2 / 3 + 1 / 3) / (denominator**2 + 4 * k2) ** 3
    strength = 256 * energy / (RYDBERG_EV * charge2) ** 2 * shape
    return np.asarray(strength * _coulomb_factor(k2, denominator, 2.0))


def _hydrogenic_l(element: str, shell: str, energy: Floats, q2: Floats) -> Floats:
    """df/dE of the 2p (``"L2,3"``) or 2s (``"L1"``) electrons, screened charge Z - 0.35·7 - 1.7 (SIGMAL3)."""
    charge2 = (ATOMIC_NUMBER[element] - 0.35 * 7 - 1.7) ** 2
    q, k2 = q2 / charge2, energy / (RYDBERG_EV * charge2) - 0.25
    denominator = q - k2 + 0.25
    resonance = denominator**2 + k2
    # Polynomials in q with coefficients in k², highest power first (the ones of the 2p subshell and the whole L shell).
    p_shell = (
        np.polyval(
            [
                2.25 + 0 * k2,
                -0.75 - 3 * k2,
                0.59375 - 0.75 * k2 - 0.5 * k2**2,
                0.11146 + 0.85417 * k2 + 1.8833 * k2**2 + k2**3,
                0.0035807 + k2 / 21.333 + k2**2 / 4.5714 + k2**3 / 2.4 + k2**4 / 4,
            ],
            q,
        )
        / resonance**5
    )
    shape = p_shell
    if shell == "L1":
        whole = np.polyval(
            [
                1 + 0 * k2,
                -(5 / 3 * k2 + 11 / 12),
                k2**2 / 3 + 1.5 * k2 + 65 / 48,
                k2**3 / 3 + 0.75 * k2**2 + 23 / 48 * k2 + 5 / 64,
            ],
            q,
        )
        shape = whole / resonance**4 - p_shell
    strength = 32 * energy / (RYDBERG_EV * charge2) ** 2 * shape
    return np.asarray(strength * _coulomb_factor(k2, denominator, 1.0))


def _bare_hydrogenic(edge: Edge, energy: Floats, q2: Floats) -> Floats:
    if edge.shell == "K":
        return _hydrogenic_k(edge.element, energy, q2)
    return _hydrogenic_l(edge.element, edge.shell, energy, q2)


def hydrogenic(edge: Edge, energy_ev: Floats, q2: Floats) -> Floats:
    """Hydrogenic df/dE with the empirical correction of SIGMAL3 for the L shell (SIGMAK3 for K).

    Parameters
    ----------
    edge : Edge
        The edge; for L1 the correction counts from L3, as in the program.
    energy_ev, q2 : ndarray
        Energy loss in eV and squared momentum transfer (q a0)²; they broadcast.

    Returns
    -------
    ndarray
        Generalized oscillator strength per eV and atom.

    References
    ----------
    Egerton, Electron Energy-Loss Spectroscopy in the Electron Microscope, 3rd ed. (2011), section 3.6 and appendix B.

    Examples
    --------
    >>> float(hydrogenic(parse_edge("Mn L"), np.array(710.0), np.array(0.01)))
    0.00942
    """
    strength = _bare_hydrogenic(edge, energy_ev, q2)
    if edge.shell == "K":
        return strength
    onset = EDGE_ONSET_EV[edge.element, "L3"]
    reduced = np.maximum(energy_ev + 0.1 - onset, 0.1) / (1.8 * ATOMIC_NUMBER[edge.element] ** 2)
    return np.asarray(strength * reduced ** _SIGMAL3_EXPONENT[edge.element])


def dirac_hartree_slater(edge: Edge, energy_ev: Floats, q2: Floats) -> Floats:
    """Df/dE whose optical limit is the Dirac-Hartree-Slater photo-absorption of that shell.

    The dependence on q is the hydrogenic one: only the optical limit is replaced. xraylib gives partial cross-sections
    per electron, so each subshell is weighted with its number of electrons.

    Parameters
    ----------
    edge : Edge
        The edge.
    energy_ev, q2 : ndarray
        Energy loss in eV and squared momentum transfer (q a0)²; they broadcast.

    Returns
    -------
    ndarray
        Generalized oscillator strength per eV and atom.

    References
    ----------
    Kissel, Pratt and Roy, Phys. Rev. A 22, 1970 (1980), as tabulated by xraylib (Schoonjans et al., Spectrochim. Acta
    B 66, 776, 2011).

    Examples
    --------
    >>> float(dirac_hartree_slater(parse_edge("Mn L"), np.array(710.0), np.array(0.01)))
    0.01156
    """
    energies = np.asarray(energy_ev, dtype=np.float64)
    optical = optical_strength(edge.element, ("L2", "L3") if edge.shell == "L2,3" else (edge.shell,), energies)
    reference = _bare_hydrogenic(edge, energies, np.full_like(energies, 1e-6))
    return np.asarray(_bare_hydrogenic(edge, energies, q2) * optical / reference)


MODELS: Final[MappingProxyType[str, OscillatorStrength]] = MappingProxyType(
    {"hydrogenic": hydrogenic, "dirac-hartree-slater": dirac_hartree_slater},
)
"""Continuum models by name; :func:`continuum` also takes any function of the same form."""


def optical_strength(element: str, shells: tuple[str, ...], energy_ev: ArrayLike) -> Floats:
    r"""Optical oscillator strength of some subshells, from photo-absorption.

    .. math:: \frac{df}{dE} = \frac{\sigma_\mathrm{photo}(E)}{4\pi^2 \alpha a_0^2 R}

    Parameters
    ----------
    element : str
        Chemical symbol.
    shells : tuple of str
        Subshells such as ``("L2", "L3")``.
    energy_ev : array_like
        Energies, eV. Just below a subshell's edge the value at the edge is used, so that onsets that differ by an eV
        make no gap; the caller sets the step.

    Returns
    -------
    ndarray
        Per eV and atom, in the shape of `energy_ev`.

    Examples
    --------
    >>> optical_strength("O", ("K",), [560.0, 700.0]).round(5)
    array([0.00419, 0.00256])
    """
    import xraylib

    number = ATOMIC_NUMBER[element]
    energies = np.asarray(energy_ev, dtype=np.float64)
    total = np.zeros(energies.size)
    for shell in shells:
        index = getattr(xraylib, f"{shell}_SHELL")
        edge_kev = xraylib.EdgeEnergy(number, index)
        electrons = xraylib.ElectronConfig(number, index)
        # The library interpolates a table: nodes dense enough for its curvature are much faster than every channel.
        kev = np.maximum(energies.ravel() / 1e3, edge_kev + 1e-4)
        nodes = np.geomspace(kev.min(), kev.max(), min(kev.size, 200))
        table = [xraylib.CSb_Photo_Partial(number, index, float(node)) * electrons for node in nodes]
        total += np.exp(np.interp(np.log(kev), np.log(nodes), np.log(table)))
    return (total / _PHOTO_BARN_EV).reshape(energies.shape)


# --- The microscope: apertures ----------------------------------------------------------------------
def collected_share(angle_mrad: ArrayLike, *, convergence_angle_mrad: float, collection_angle_mrad: float) -> Floats:
    """Share of the electrons scattered by an angle that enter the collection aperture.

    The incident directions fill a disc evenly; scattering shifts that disc, and what overlaps with the aperture is
    collected. A parallel beam is the limit of convergence zero.

    Parameters
    ----------
    angle_mrad : array_like
        Scattering angle, mrad.
    convergence_angle_mrad, collection_angle_mrad : float
        Semi-angles, mrad.

    Returns
    -------
    ndarray
        Between 0 and 1.

    Examples
    --------
    >>> collected_share([0, 70, 130], convergence_angle_mrad=25.2, collection_angle_mrad=100)
    array([1., 1., 0.])
    """
    theta = np.maximum(np.asarray(angle_mrad, dtype=np.float64), 1e-9)
    alpha = check_positive(convergence_angle_mrad, "convergence_angle_mrad", zero_ok=True)
    beta = check_positive(collection_angle_mrad, "collection_angle_mrad")
    if alpha < 1e-6:
        return np.where(theta <= beta, 1.0, 0.0)
    cos_a = np.clip((theta**2 + alpha**2 - beta**2) / (2 * theta * alpha), -1, 1)
    cos_b = np.clip((theta**2 + beta**2 - alpha**2) / (2 * theta * beta), -1, 1)
    segment_a = alpha**2 * (np.arccos(cos_a) - cos_a * np.sqrt(1 - cos_a**2))
    segment_b = beta**2 * (np.arccos(cos_b) - cos_b * np.sqrt(1 - cos_b**2))
    return np.asarray((segment_a + segment_b) / (np.pi * alpha**2))


@checked
def continuum(
    edge: str,
    energy_ev: ArrayLike,
    *,
    beam_energy_kev: float = 300.0,
    convergence_angle_mrad: float = 25.2,
    collection_angle_mrad: float = 100.0,
    model: str | OscillatorStrength = "hydrogenic",
    l1_step: bool = False,
) -> Floats:
    r"""Cross-section per eV and atom of the continuum above an edge, without white lines.

    Parameters
    ----------
    edge : str
        Such as ``"Mn L"`` (2p electrons, beginning at L3), ``"Mn L1"`` or ``"O K"``.
    energy_ev : array_like, any shape
        Energy loss, eV, positive.
    beam_energy_kev : float, default 300
        Beam energy.
    convergence_angle_mrad, collection_angle_mrad : float, default 25.2 and 100
        Semi-angles; the overlap of the displaced incident cone with the aperture is integrated exactly.
    model : str or callable, default ``"hydrogenic"``
        A name in :data:`MODELS`, or a function (edge, energy, (q a0)²) -> df/dE per eV.
    l1_step : bool, default False
        Add the L1 step to an L2,3 edge.

    Returns
    -------
    ndarray
        barn/eV/atom in the shape of `energy_ev`; zero below the onset.

    Raises
    ------
    ValueError
        If the edge or model is unknown, an energy is not positive, or a setting of the microscope is impossible.

    References
    ----------
    Egerton, Electron Energy-Loss Spectroscopy in the Electron Microscope, 3rd ed. (2011), section 3.6.

    Examples
    --------
    >>> continuum("Mn L", [650, 710, 768]).round(2)
    array([28.88, 29.24, 24.74])
    """
    parsed = parse_edge(edge)
    energies = np.asarray(energy_ev, dtype=np.float64)
    check_finite(energies, "energy_ev")
    if np.any(energies <= 0) or np.any(energies >= beam_energy_kev * 1e3):
        raise fail(
            "energy_ev",
            expected="losses above zero and below the beam energy, in eV",
            got=f"{energies.min():g} to {energies.max():g}",
            remedy="calibrate the axis first, and leave out the zero-loss side",
        )
    strength = MODELS[check_option(model, "model", MODELS)] if isinstance(model, str) else model
    result = np.zeros(energies.shape)
    above = energies >= parsed.onset_ev
    if np.any(above):
        result[above] = _angular_integral(
            parsed,
            energies[above],
            strength,
            beam_energy_ev=check_positive(beam_energy_kev, "beam_energy_kev") * 1e3,
            alpha=check_positive(convergence_angle_mrad, "convergence_angle_mrad", zero_ok=True),
            beta=check_positive(collection_angle_mrad, "collection_angle_mrad"),
        )
    if l1_step and parsed.shell == "L2,3":
        result += continuum(
            f"{parsed.element} L1",
            energies,
            beam_energy_kev=beam_energy_kev,
            convergence_angle_mrad=convergence_angle_mrad,
            collection_angle_mrad=collection_angle_mrad,
            model=model,
        )
    return result


def _angular_integral(
    edge: Edge, energy: Floats, strength: OscillatorStrength, *, beam_energy_ev: float, alpha: float, beta: float
) -> Floats:
    """Integrate df/dE over ln q², with exact relativistic kinematics; angles in mrad."""
    rest = ELECTRON_REST_ENERGY_KEV * 1e3
    before = np.sqrt(beam_energy_ev * (beam_energy_ev + 2 * rest))
    after = np.sqrt((beam_energy_ev - energy) * (beam_energy_ev - energy + 2 * rest))
    # Momenta times c in eV; (q a0)² = (q c)² / (2 R m c²).
    unit = 2 * RYDBERG_EV * rest
    forward = (before - after) ** 2 / unit
    lateral = 4 * before * after / unit

    def q2_at(angle_mrad: float) -> Floats:
        return np.asarray(forward + lateral * np.sin(min(angle_mrad * 1e-3, np.pi) / 2) ** 2)

    total = np.zeros(energy.shape)
    # The share collected is smooth between these angles, so Gauss-Legendre converges fast on each piece.
    for low, high in ((0.0, abs(beta - alpha)), (abs(beta - alpha), beta + alpha)):
        if high <= low:
            continue
        start, stop = np.log(q2_at(low))[..., None], np.log(q2_at(high))[..., None]
        q2 = np.exp(start + (stop - start) * (_NODES + 1) / 2)
        sine2 = np.clip((q2 - forward[..., None]) / lateral[..., None], 0, 1)
        share = collected_share(
            2e3 * np.arcsin(np.sqrt(sine2)), convergence_angle_mrad=alpha, collection_angle_mrad=beta
        )
        integrand = share * strength(edge, energy[..., None], q2)
        total += np.sum(_WEIGHTS * integrand, axis=-1) * (stop - start)[..., 0] / 2
    t_ev = kinetic_mass_energy_ev(beam_energy_ev / 1e3)
    return np.asarray(_BOHR_AREA_BARN * RYDBERG_EV / energy * RYDBERG_EV / t_ev * total)
