"""The single losses of one electron: cross-sections of every species, and the distribution of a low-loss event."""

from typing import Any

import numpy as np

from .._typing import Floats
from .._validation import fail
from ..constants import (
    BARN_NM2,
    EDGE_ONSET_EV,
    NCM111_FORMULA,
    NCM111_FORMULA_UNITS_PER_NM3,
    SPECIES_ELEMENT,
)
from ..spectroscopy import continuum, outer_shell_background, references
from .settings import Acquisition
from .spectrometer_settings import LOWEST_CORE_LOSS_EV, Eels

# Metal to oxygen in the layered lattice, and what one electron volt is in inverse square nm.
_NEIGHBOR_NM = 0.195
_EV_NM2 = 0.0380998
# From plasmon to outer shells.
_OUTER_FROM_EV, _OUTER_ALONE_EV = 30.0, 70.0


def species_cross_sections(acquisition: Acquisition, energy_ev: Floats) -> dict[str, Floats]:
    """Single-scattering cross-section per atom of every species, barn/eV: edges, white lines and what lies under them.

    Parameters
    ----------
    acquisition : Acquisition
        Microscope and the spectrometer's choice of continuum and references.
    energy_ev : ndarray, shape (energy,)
        Losses, eV.

    Returns
    -------
    dict of str to ndarray, shape (energy,)
        For O, Li, Mn4, Mn3, Mn2, Co3, Co2, Ni2, F and C (the film).

    Examples
    --------
    >>> barn = species_cross_sections(Acquisition(), np.array([630.0, 710.0]))
    >>> barn["Mn4"].round(1)
    array([25.9, 48.1])
    """
    eels = acquisition.eels
    optics: dict[str, Any] = {
        "beam_energy_kev": acquisition.beam_energy_kev,
        "collection_angle_mrad": acquisition.collection_angle_mrad,
    }
    cone: dict[str, Any] = {**optics, "convergence_angle_mrad": acquisition.convergence_angle_mrad}
    spectra: dict[str, Floats] = {"Li": outer_shell_background("Li", energy_ev, **optics)}
    for element in ("O", "F", "C"):
        edge = continuum(f"{element} K", energy_ev, model=eels.continuum, **cone)
        edge *= fine_structure(energy_ev - EDGE_ONSET_EV[element, "K"], eels.exelfs)
        spectra[element] = edge + outer_shell_background(element, energy_ev, **optics)
    for element in ("Mn", "Co", "Ni"):
        smooth = continuum(f"{element} L", energy_ev, model=eels.continuum, l1_step=eels.l1_step, **cone)
        smooth *= fine_structure(energy_ev - EDGE_ONSET_EV[element, "L3"], eels.exelfs)
        smooth = smooth + outer_shell_background(element, energy_ev, **optics)
        per_hole = references.white_line_cross_section(element, ev_per_hole=eels.white_line_ev_per_hole, **cone)
        white = _reference_set(eels, element)
        for state, lines in zip(white.states, white.on(energy_ev), strict=True):
            spectra[state] = smooth + per_hole * lines
    missing = sorted(set(SPECIES_ELEMENT) - set(spectra))
    if missing:
        raise fail(
            "references",
            expected="a spectrum for every valence state of the specimen",
            got=f"none for {', '.join(missing)}",
            remedy="add the state to your reference set, or use one of the computed sets",
        )
    return spectra


def fine_structure(above_onset_ev: Floats, amplitude: float) -> Floats:
    r"""Return what neighbors do to an edge: its factor against an isolated atom (EXELFS).

    .. math:: 1 + A \sin(2 k R)\, w(E), \qquad k = \sqrt{2 m (E - E_0)} / \hbar

    with one shell at R = 0.195 nm; w rises from 0 to 1 between 10 and 30 eV above the onset.

    Parameters
    ----------
    above_onset_ev : ndarray
        Energy above the onset, eV.
    amplitude : float
        A; 0 switches it off.

    Returns
    -------
    ndarray

    Examples
    --------
    >>> factor = fine_structure(np.linspace(-50, 300, 3501), 0.05)
    >>> [float(value) for value in (factor[0], factor.min().round(3), factor.max().round(3))]
    [1.0, 0.95, 1.05]
    """
    wave_number = np.sqrt(np.maximum(above_onset_ev, 0) / _EV_NM2)
    ramp = np.clip((above_onset_ev - 10) / 20, 0, 1)
    return np.asarray(1 + amplitude * ramp * np.sin(2 * wave_number * _NEIGHBOR_NM))


def _reference_set(eels: Eels, element: str) -> references.ReferenceSet:
    white = _named_set(eels, element)
    return white.changed(shift_ev=eels.nickel_shift_ev) if element == "Ni" else white


def _named_set(eels: Eels, element: str) -> references.ReferenceSet:
    if isinstance(eels.references, str):
        return references.load(element, eels.references)
    for given in eels.references:
        if given.element == element:
            # Measured sets have a unit of their own: scaled so that the mean area per ionic hole is one.
            scale = 1.0 if given.name in references.SETS else float(np.mean(given.holes / given.areas))
            return references.ReferenceSet(given.name, given.states, given.energy_ev, given.spectra * scale)
    return references.load(element)


def single_event(energy_ev: Floats, acquisition: Acquisition) -> Floats:
    r"""Distribution P of one low-loss event, of unit sum: a damped plasmon, and the outer shells beyond it.

    .. math:: P(E) \propto \frac{E\, \Gamma E_p^2}{(E^2 - E_p^2)^2 + (E \Gamma)^2}
              \quad (E \ll 50\;\mathrm{eV}), \qquad
              P(E) = \lambda\, n \frac{d\sigma_\mathrm{outer}}{dE} \quad (E \gg 50\;\mathrm{eV})

    Parameters
    ----------
    energy_ev : ndarray, shape (energy,)
        Evenly spaced losses, eV; P is zero at and below 0 and above 250 eV, where core losses take over.
    acquisition : Acquisition
        Microscope, plasmon and mean free path.

    Returns
    -------
    ndarray, shape (energy,)
        Sums to 1.

    Notes
    -----
    The Drude function is the energy-loss function of free electrons; E_p is such that its maximum lies at `plasmon_ev`.
    The far part is the same cross-section that lies under the core edges, in NCM111, so that low loss and core loss
    join; Li K and the M edges are steps in it. Against the single event of a real NMC (Fourier-log deconvolution of
    NMC_EELS_linescan_Jia), the shares of 10-18, 18-30, 30-45, 45-60 and 60-100 eV are 1.2, .92, 1.0, .97 and 1.04 as
    large. Below 10 eV it holds half of what is measured (surface plasmons and interband transitions are not simulated),
    beyond 100 eV 1.4 to 1.7 times as much (dipole part and Bethe ridge overlap). The giant resonances of the M2,3 edges
    at 49 to 68 eV are not simulated.

    Examples
    --------
    >>> axis = np.arange(0.0, 300.0, 0.5)
    >>> float(axis[np.argmax(single_event(axis, Acquisition()))])
    23.5
    """
    eels = acquisition.eels
    step = (energy_ev[-1] - energy_ev[0]) / (energy_ev.size - 1)
    low = (energy_ev > 0) & (energy_ev <= LOWEST_CORE_LOSS_EV)
    e = energy_ev[low]
    outer = sum(
        n
        * outer_shell_background(
            element,
            e,
            beam_energy_kev=acquisition.beam_energy_kev,
            collection_angle_mrad=acquisition.collection_angle_mrad,
        )
        for element, n in NCM111_FORMULA.items()
    )
    outer = outer * (eels.mean_free_path_nm * NCM111_FORMULA_UNITS_PER_NM3 * BARN_NM2 * step)
    far = np.clip((e - _OUTER_FROM_EV) / (_OUTER_ALONE_EV - _OUTER_FROM_EV), 0, 1)
    peak2, width2 = eels.plasmon_ev**2, eels.plasmon_width_ev**2
    free2 = np.sqrt(4 * peak2**2 + peak2 * width2) - peak2  # E_p², from the place of the maximum
    drude = e * eels.plasmon_width_ev * free2 / ((e**2 - free2) ** 2 + e**2 * width2)
    near = (1 - far) * drude
    result = np.zeros(energy_ev.shape)
    result[low] = far * outer + near * (1 - (far * outer).sum()) / near.sum()
    return result
