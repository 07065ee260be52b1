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
from ..constants import (
    ATOMIC_WEIGHT_G_PER_MOL,
    AVOGADRO_PER_MOL,
    BARN_NM2,
    CARBON_FILM_DENSITY_G_PER_CM3,
    NCM111_DENSITY_G_PER_CM3,
    SPECIES_ELEMENT,
)
from ..phantoms import Phantom
from ..spectroscopy import elastic
from .counting import count_in_blocks
from .losses import single_event, species_cross_sections
from .rays import Exposure, element_maps, film_atoms_per_nm2
from .settings import Acquisition
from .spectrometer_settings import Eels

# Pixels over which the drift of the energy axis wanders.
_DRIFT_MEMORY_PX = 100.0


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
        width = eels.true_dispersion_ev
        below = round((eels.core_loss_start_ev - eels.built_from_ev) / width)
        # Room beyond the upper end: what wraps around lands below the axis, where it is cut off.
        self.n = int(next_fast_len(eels.n_channels + below + round(40 / width), real=True))
        self.core_window = slice(below, below + eels.n_channels)
        energy: Floats = np.asarray(eels.built_from_ev + np.arange(self.n) * width)
        cross_sections = species_cross_sections(acquisition, energy)
        self.species = tuple(cross_sections)
        # nm² per channel and atom
        sigma = np.stack([cross_sections[name] for name in self.species]) * BARN_NM2 * width
        self.sigma = np.fft.rfft(sigma, axis=1).astype(np.complex64)
        self.frequency = np.fft.rfftfreq(self.n, width)  # 1/eV
        # Zero loss sits a fraction of a channel beside the channel `zero`.
        zero = -eels.low_loss_start_ev / eels.dispersion_ev
        self.zero_ev = round(zero) * width
        self.zero_offset_ev = (round(zero) - zero) * width
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
    phase = -2j * np.pi * transfer.frequency
    shared = transfer.zero_loss.astype(np.complex128)
    offset_ev = drift_ev + eels.core_offset_ev
    if not core:
        shared = shared * np.exp(phase * transfer.zero_ev)
        offset_ev = drift_ev - transfer.zero_offset_ev
    event = transfer.event if eels.plural_scattering else np.zeros_like(transfer.event)
    spectrum = thickness[:, None].astype(np.float32) * event.astype(np.complex64)
    spectrum += offset_ev[:, None].astype(np.float32) * phase.astype(np.complex64)
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
        atoms["F"] = atoms.get("F", 0.0) + np.where(atoms["O"] > 100, eels.fluorine_per_nm2, 0.0)

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
