r"""Dual EELS: the low-loss and the core-loss spectrum of every pixel.

A core-loss spectrum is the pixel's single-scattering spectrum, convolved with the low-loss spectrum of that very pixel:

.. math:: \hat N(f) = N_e\, C\, \Delta E\; \hat Z(f)\, e^{(t/\lambda)(\hat P(f) - 1)}\, e^{-2\pi i f \delta}
          \sum_s n_s \hat\sigma_s(f)

with the zero-loss peak Z and the single low-loss event P (both of unit area), the drift δ, and atoms per area times
cross-section of every species s. Of the electrons the share C stays within the collection angle, whatever atoms did to
them elastically; that losses of energy deflect, too, is in the cross-sections. Losses up to 250 eV belong to P, larger
ones to σ, so that none counts twice; electrons with two losses beyond 250 eV are left out. The low-loss spectrum is the
same without the sum. Each is one inverse FFT a pixel.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._typing import Floats
from .._validation import fail
from ..constants import (
    ATOMIC_WEIGHT_G_PER_MOL,
    AVOGADRO_PER_MOL,
    BARN_NM2,
    CARBON_FILM_DENSITY_G_PER_CM3,
    NCM111_DENSITY_G_PER_CM3,
    NCM111_FORMULA,
    NCM111_FORMULA_UNITS_PER_NM3,
    SPECIES_ELEMENT,
)
from ..phantoms import Phantom
from ..spectroscopy import continuum, elastic, outer_shell_background, references
from .counting import count_in_blocks
from .rays import Exposure, element_maps, film_atoms_per_nm2
from .settings import Acquisition
from .spectrometer_settings import LOWEST_CORE_LOSS_EV, Eels

# Pixels over which the drift of the energy axis wanders.
_DRIFT_MEMORY_PX = 100.0


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
    >>> found = species_cross_sections(Acquisition(), np.array([630.0, 710.0]))
    >>> found["Mn4"].round(1)
    array([25.9, 48.1])
    """
    eels = acquisition.eels
    optics: dict[str, Any] = {
        "beam_energy_kev": acquisition.beam_energy_kev,
        "collection_angle_mrad": acquisition.collection_angle_mrad,
    }
    cone: dict[str, Any] = {**optics, "convergence_angle_mrad": acquisition.convergence_angle_mrad}
    found: dict[str, Floats] = {"Li": outer_shell_background("Li", energy_ev, **optics)}
    for element in ("O", "F", "C"):
        edge = continuum(f"{element} K", energy_ev, model=eels.continuum, **cone)
        found[element] = edge + outer_shell_background(element, energy_ev, **optics)
    for element in ("Mn", "Co", "Ni"):
        smooth = continuum(f"{element} L", energy_ev, model=eels.continuum, l1_step=eels.l1_step, **cone)
        smooth = smooth + outer_shell_background(element, energy_ev, **optics)
        per_hole = references.white_line_cross_section(element, ev_per_hole=eels.white_line_ev_per_hole, **cone)
        white = _reference_set(eels, element)
        for state, lines in zip(white.states, white.on(energy_ev), strict=True):
            found[state] = smooth + per_hole * lines
    missing = sorted(set(SPECIES_ELEMENT) - set(found))
    if missing:
        raise fail(
            "references",
            expected="a spectrum for every valence state of the specimen",
            got=f"none for {', '.join(missing)}",
            remedy="add the state to your reference set, or use one of the computed sets",
        )
    return found


def _reference_set(eels: Eels, element: str) -> references.ReferenceSet:
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
              \quad (E \ll 80\;\mathrm{eV}), \qquad
              P(E) = \lambda\, n \frac{d\sigma_\mathrm{outer}}{dE} \quad (E \gg 80\;\mathrm{eV})

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
    The Drude function is the energy-loss function of free electrons. The far part is the same cross-section that
    lies under the core edges, in NCM111, so that low loss and core loss join. Surface plasmons, the band gap and the
    shape of the M edges at 49 to 68 eV are not simulated.

    Examples
    --------
    >>> axis = np.arange(0.0, 300.0, 0.5)
    >>> float(axis[np.argmax(single_event(axis, Acquisition()))])
    22.0
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
    # From plasmon to outer shells between 60 and 100 eV.
    far = np.clip((e - 60) / 40, 0, 1)
    drude = e * eels.plasmon_width_ev * eels.plasmon_ev**2
    drude /= (e**2 - eels.plasmon_ev**2) ** 2 + (e * eels.plasmon_width_ev) ** 2
    near = (1 - far) * drude
    result = np.zeros(energy_ev.shape)
    result[low] = far * outer + near * (1 - (far * outer).sum()) / near.sum()
    return result


def mass_thickness(maps: Mapping[str, Floats], acquisition: Acquisition, *, angle_deg: float) -> Floats:
    """Thickness over mean free path: mass per area in units of that of one mean free path of NCM111.

    Parameters
    ----------
    maps : mapping of str to array, shape (y, x)
        Atoms per nm² of each species.
    acquisition : Acquisition
        Mean free path and film.
    angle_deg : float
        Tilt, under which the film is thicker by 1/cos t.

    Returns
    -------
    ndarray, shape (y, x)

    Examples
    --------
    >>> from tritomo_helpers.constants import NCM111_FORMULA_UNITS_PER_NM3 as units
    >>> maps = {"Li": 150 * units, "Mn4": 50 * units, "Co3": 50 * units, "Ni2": 50 * units, "O": 300 * units}
    >>> ideal = Acquisition.ideal()
    >>> round(float(mass_thickness({k: np.array([[v]]) for k, v in maps.items()}, ideal, angle_deg=0)[0, 0]), 3)
    1.003
    """
    # g/mol/nm² -> nm of NCM111 at its density
    to_nm = 1e21 / AVOGADRO_PER_MOL / NCM111_DENSITY_G_PER_CM3
    weights = (ATOMIC_WEIGHT_G_PER_MOL[SPECIES_ELEMENT[name]] * areal for name, areal in maps.items())
    film_nm = acquisition.film_thickness_nm / np.cos(np.deg2rad(angle_deg))
    film_nm *= CARBON_FILM_DENSITY_G_PER_CM3 / NCM111_DENSITY_G_PER_CM3
    return np.asarray((sum(weights) * to_nm + film_nm) / acquisition.eels.mean_free_path_nm)


def share_collected(maps: Mapping[str, Floats], acquisition: Acquisition, *, angle_deg: float) -> Floats:
    """Share of the electrons that elastic scattering leaves within the collection angle.

    Parameters
    ----------
    maps : mapping of str to array, shape (y, x)
        Atoms per nm² of each species.
    acquisition : Acquisition
        Angles and film.
    angle_deg : float
        Tilt, under which the film is thicker by 1/cos t.

    Returns
    -------
    ndarray, shape (y, x)
        All 1 when `elastic_loss` is off.

    Examples
    --------
    >>> manganese = {"Mn4": np.array([[2000.0]])}
    >>> round(float(share_collected(manganese, Acquisition(film_thickness_nm=0), angle_deg=0)[0, 0]), 3)
    0.987
    """
    atoms = element_maps(maps, acquisition, angle_deg=angle_deg)
    if not acquisition.eels.elastic_loss:
        return np.ones(atoms["C"].shape)
    return elastic.share_inside(
        atoms,
        acquisition.collection_angle_mrad,
        beam_energy_kev=acquisition.beam_energy_kev,
        convergence_angle_mrad=acquisition.convergence_angle_mrad,
    )


def energy_drift(shape: tuple[int, int], eels: Eels, *, rng: np.random.Generator) -> Floats:
    """How far the energy axis has moved at every pixel, eV: a slow walk in scan order, and jitter.

    Parameters
    ----------
    shape : (int, int)
        Pixels along y and x.
    eels : Eels
        Standard deviation of the drift.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray, shape (y, x)
        Features appear this much above their energy.

    Examples
    --------
    >>> drift = energy_drift((64, 64), Eels(energy_drift_ev=0.4), rng=np.random.default_rng(0))
    >>> 0.1 < float(drift.std()) < 0.8
    True
    """
    from scipy.signal import lfilter

    n = shape[0] * shape[1]
    memory = np.exp(-1 / _DRIFT_MEMORY_PX)
    kicks = rng.standard_normal(n)
    kicks[1:] *= np.sqrt(1 - memory**2)  # the first pixel starts anywhere in the walk's range
    walk = lfilter([1.0], [1.0, -memory], kicks)
    return np.asarray(eels.energy_drift_ev * (walk + 0.1 * rng.standard_normal(n))).reshape(shape)


class _Transfer:
    """Fourier transforms that all pixels of an acquisition share."""

    def __init__(self, acquisition: Acquisition) -> None:
        from scipy.fft import next_fast_len

        eels = acquisition.eels
        self.dispersion_ev = eels.dispersion_ev
        below = round((eels.core_loss_start_ev - eels.built_from_ev) / eels.dispersion_ev)
        # Room beyond the upper end: what wraps around lands below the axis, where it is cut off.
        self.n = int(next_fast_len(eels.n_channels + below + round(40 / eels.dispersion_ev), real=True))
        self.core_window = slice(below, below + eels.n_channels)
        energy: Floats = np.asarray(eels.built_from_ev + np.arange(self.n) * eels.dispersion_ev)
        found = species_cross_sections(acquisition, energy)
        self.species = tuple(found)
        # nm² per channel and atom
        sigma = np.stack([found[name] for name in self.species]) * BARN_NM2 * eels.dispersion_ev
        self.sigma = np.fft.rfft(sigma, axis=1).astype(np.complex64)
        self.frequency = np.fft.rfftfreq(self.n, eels.dispersion_ev)  # 1/eV
        zero = round(-eels.low_loss_start_ev / eels.dispersion_ev)
        self.zero_offset_ev = zero * eels.dispersion_ev + eels.low_loss_start_ev
        self.zero = zero
        self.low_window = slice(0, eels.n_channels)
        self.event = np.fft.rfft(single_event(energy - eels.built_from_ev, acquisition)) - 1
        gauss = np.exp(-((np.pi * eels.zero_loss_fwhm_ev * self.frequency) ** 2) / (4 * np.log(2)))
        lorentz = np.exp(-np.pi * 1.5 * self.frequency)
        self.zero_loss = (1 - eels.zero_loss_tail) * gauss + eels.zero_loss_tail * lorentz


@lru_cache(maxsize=4)
def _transfer(acquisition: Acquisition) -> _Transfer:
    return _Transfer(acquisition)


def expected_spectra(
    maps: Mapping[str, Floats], thickness: Floats, drift_ev: Floats, acquisition: Acquisition, *, core: bool
) -> NDArray[np.float32]:
    """Electrons expected per channel that reach the detector, before its efficiency, gain and noise.

    Parameters
    ----------
    maps : mapping of str to array, shape (n,)
        Atoms per nm² of each species of :func:`species_cross_sections`; absent ones are zero.
    thickness : ndarray, shape (n,)
        Thickness over mean free path.
    drift_ev : ndarray, shape (n,)
        Drift of the axis, eV.
    acquisition : Acquisition
        Dose and spectrometer.
    core : bool
        The core-loss range; otherwise the low-loss range.

    Returns
    -------
    ndarray of float32, shape (n, energy)
    """
    from scipy.fft import irfft

    transfer, eels = _transfer(acquisition), acquisition.eels
    share = 1 - eels.low_loss_share if core else eels.low_loss_share
    electrons = acquisition.electrons_per_pixel * share
    turn = -2j * np.pi * transfer.frequency
    shared = transfer.zero_loss.astype(np.complex128)
    moved = drift_ev
    if not core:
        # Zero loss sits `zero` channels in, where the axis reads `zero_offset_ev`.
        shared = shared * np.exp(turn * transfer.zero * eels.dispersion_ev)
        moved = drift_ev - transfer.zero_offset_ev
    event = transfer.event if eels.plural_scattering else np.zeros_like(transfer.event)
    spectrum = thickness[:, None].astype(np.float32) * event.astype(np.complex64)
    spectrum += moved[:, None].astype(np.float32) * turn.astype(np.complex64)
    np.exp(spectrum, out=spectrum)
    spectrum *= shared.astype(np.complex64)
    if core:
        atoms = np.stack([np.broadcast_to(maps.get(s, 0.0), thickness.shape) for s in transfer.species], axis=1)
        spectrum = spectrum * ((electrons * atoms).astype(np.complex64) @ transfer.sigma)
    else:
        spectrum *= np.float32(electrons)
    window = transfer.core_window if core else transfer.low_window
    result: NDArray[np.float32] = irfft(spectrum, transfer.n, axis=1, overwrite_x=True)[:, window]
    # Rounding of the transform, some 1e-7 of the tallest channel, must not reach the Poisson generator as negative.
    return np.maximum(result, np.float32(0))


def axes(acquisition: Acquisition) -> dict[str, Floats]:
    """Return the energy axis of both loss ranges, eV."""
    eels = acquisition.eels
    return {"low_loss": eels.low_loss_energy_ev, "core_loss": eels.core_loss_energy_ev}


def detect(
    maps: Mapping[str, Floats],
    exposure: Exposure,
    phantom: Phantom,  # noqa: ARG001 - every detector has the same arguments; this one needs the maps alone
    acquisition: Acquisition,
    *,
    rng: np.random.Generator,
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Record both loss ranges at every pixel of one exposure.

    Parameters
    ----------
    maps : mapping of str to array, shape (y, x)
        Atoms per nm² of each species.
    exposure : Exposure
        Supplies the true tilt.
    phantom : Phantom
        Not used.
    acquisition : Acquisition
        Dose and spectrometer.
    rng : numpy.random.Generator
        Drift and noise.

    Returns
    -------
    counts : dict
        ``"low_loss"`` and ``"core_loss"``, shape (y, x, energy): integers, or float32 without noise.
    truth : dict
        ``"energy_drift_ev"``, ``"thickness_over_mean_free_path"`` and ``"eels_collected_share"``, shape (y, x).
    """
    eels = acquisition.eels
    ny, nx = acquisition.scan_shape
    drift = energy_drift((ny, nx), eels, rng=rng)
    thickness = mass_thickness(maps, acquisition, angle_deg=exposure.angle_deg)
    collected = share_collected(maps, acquisition, angle_deg=exposure.angle_deg)
    atoms = {name: values.ravel() for name, values in maps.items()}
    atoms["C"] = np.full(ny * nx, film_atoms_per_nm2(acquisition, angle_deg=exposure.angle_deg))
    if eels.fluorine_per_nm2 > 0:
        # A layer on the particle: at every pixel that the particle covers by more than a nanometer or so.
        atoms["F"] = np.where(atoms["O"] > 100, eels.fluorine_per_nm2, 0.0)

    found: dict[str, NDArray[Any]] = {}
    for name, core in (("low_loss", False), ("core_loss", True)):

        def count(part: slice, generator: np.random.Generator, core: bool = core) -> NDArray[Any]:
            here = {species: areal[part] for species, areal in atoms.items()}
            expected = expected_spectra(here, thickness.ravel()[part], drift.ravel()[part], acquisition, core=core)
            expected *= collected.ravel()[part, None].astype(np.float32)
            return _detected(expected, eels, generator)

        # Signed, because readout noise goes below zero; a zero-loss peak needs four bytes, a core-loss channel two.
        integer = np.int16 if core and _fits_two_bytes(acquisition) else np.int32
        counts = count_in_blocks(
            count,
            n_pixels=ny * nx,
            n_channels=eels.n_channels,
            dtype=integer if eels.counting_noise else np.float32,
            rng=rng,
        )
        found[name] = counts.reshape(ny, nx, eels.n_channels)
    truth = {
        "energy_drift_ev": drift,
        "thickness_over_mean_free_path": thickness,
        "eels_collected_share": collected,
    }
    return found, {name: values.astype(np.float32) for name, values in truth.items()}


def _detected(expected: NDArray[np.float32], eels: Eels, rng: np.random.Generator) -> NDArray[Any]:
    """Turn arriving electrons into counts: efficiency thins them, gain multiplies, readout adds noise."""
    expected = expected * np.float32(eels.efficiency)
    if not eels.counting_noise:
        return np.asarray(expected * np.float32(eels.gain))
    electrons = rng.poisson(expected)
    if eels.gain == 1 and eels.readout_noise == 0:
        return np.asarray(electrons)
    noise = rng.standard_normal(electrons.shape, dtype=np.float32) * np.float32(eels.readout_noise)
    return np.rint(electrons * np.float32(eels.gain) + noise)


def _fits_two_bytes(acquisition: Acquisition) -> bool:
    """Tell whether no core-loss channel can exceed what two bytes hold: some 1e-5 of the electrons, ten times over."""
    eels = acquisition.eels
    return acquisition.electrons_per_pixel * eels.efficiency * eels.gain * eels.dispersion_ev / 0.15 * 1e-4 < 32_000
