"""What the forward model would give for a specimen: amplitudes and their covariance, without simulating every spectrum.

Repeats of an experiment differ in their noise alone, and the noise of the amplitudes is known. So repeats are drawn on
maps instead of on spectra, a thousand times faster.

References
----------
Covariance of linear least squares, as in `valence.forward`; drawing on maps is derived here.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from .._typing import Floats, Floats32
from .._validation import checked
from ..containers import TiltSeries
from ..phantoms import Phantom
from ..simulation import Acquisition
from ..simulation import eels as spectrometer
from ..simulation.rays import plan, species_maps
from ..spectroscopy import references
from .basis import Basis, Distortion
from .forward import FIT_WINDOW_EV, ValenceMaps, linear_filter
from .kernels import VACUUM_THICKNESS

_N_LEVELS = 24


@checked
def expected_maps(
    phantom: Phantom, acquisition: Acquisition | None = None, *, rng: np.random.Generator | None = None
) -> ValenceMaps:
    """Predict the maps of :func:`fit_spectra` with exact references, free of noise, and the covariance of their noise.

    Parameters
    ----------
    phantom : Phantom
    acquisition : Acquisition, optional
        By default the published experiment with perfect alignment: no shifts, no drift, the tilt axis upright.
    rng : numpy.random.Generator, optional
        For shifts and drift, if `acquisition` has any.

    Returns
    -------
    ValenceMaps
        In the frame of the scan; `chi2` is 1 and nothing is distorted.

    Notes
    -----
    The covariance of a pixel is that of the mean spectrum at its thickness, interpolated between 24 thicknesses.

    Examples
    --------
    >>> from tritomo_helpers import phantoms
    >>> scan = {"scan_shape": (16, 16), "pixel_size_nm": 18.52, "tilt_angles_deg": (-40.0, 0.0, 40.0)}
    >>> still = Acquisition.ideal(**scan)
    >>> maps = expected_maps(phantoms.particle("pristine-1", shape=16), still)
    >>> abs(maps.particle_percentages()["Mn4"][0] - 84.5) < 1.5
    True
    """
    if acquisition is None:
        acquisition = Acquisition(
            misalignment_px=0.0, drift_nm=0.0, axis_rotation_deg=0.0, tilt_error_deg=0.0, repeats=False
        )
    exposures = [
        exposure
        for exposure in plan(acquisition, rng=np.random.default_rng(0) if rng is None else rng)
        if exposure.tilt_index is not None
    ]
    maps = [species_maps(phantom, acquisition, exposure) for exposure in exposures]
    angles = [exposure.angle_deg for exposure in exposures]
    thickness = np.stack(
        [spectrometer.mass_thickness(m, acquisition, angle_deg=a) for m, a in zip(maps, angles, strict=True)]
    )
    atoms = {name: np.stack([m[name] for m in maps]) for name in maps[0]}
    collected = np.stack(
        [spectrometer.share_collected(m, acquisition, angle_deg=a) for m, a in zip(maps, angles, strict=True)]
    )
    levels, unit, covariances, states = _ladder(atoms, thickness, collected, acquisition)
    above = np.clip(np.searchsorted(levels, thickness), 1, levels.size - 1)
    share = np.clip((thickness - levels[above - 1]) / (levels[above] - levels[above - 1]), 0, 1)
    weight = share[..., None, None].astype(np.float32)
    covariance = (1 - weight) * covariances[above - 1] + weight * covariances[above]

    def series(images: Floats, label: str) -> TiltSeries:
        return TiltSeries(
            images.astype(np.float32), np.array(acquisition.tilt_angles_deg), acquisition.pixel_size_nm, label
        )

    unknown = dict.fromkeys(states, (np.nan, np.nan))
    return ValenceMaps(
        amplitudes={state: series(unit * atoms[state], state) for state in states},
        covariance=covariance,
        chi2=1.0,
        chi2_of={"as given": 1.0},
        calibration=Distortion(),
        thickness=series(thickness, "t/lambda"),
        calibration_error=dict.fromkeys(states, 0.0),
        systematic=unknown,
        reportable=dict.fromkeys(("Mn", "Co", "Ni"), True),
        noise=_noise(acquisition),
    )


def _ladder(
    atoms: Mapping[str, Floats], thickness: Floats, collected: Floats, acquisition: Acquisition
) -> tuple[Floats, float, Floats32, tuple[str, ...]]:
    """Fit the mean spectra of some thicknesses.

    Returns
    -------
    levels : ndarray, shape (level,)
        t/lambda.
    unit : float
        Amplitude per atom per nm².
    covariances : ndarray, shape (level, state, state)
    states : tuple of str
    """
    eels = acquisition.eels
    axes = spectrometer.axes(acquisition)
    name = eels.references if isinstance(eels.references, str) else None
    sets = {el: (references.load(el, name or "crystal-field"),) for el in ("Mn", "Co", "Ni")}
    if name is None:
        sets |= {given.element: (given,) for given in eels.references if not isinstance(given, str)}
    optics = {
        "beam_energy_kev": acquisition.beam_energy_kev,
        "convergence_angle_mrad": acquisition.convergence_angle_mrad,
        "collection_angle_mrad": acquisition.collection_angle_mrad,
    }
    basis = Basis(
        axes["core_loss"], axes["low_loss"], sets=sets, fit_window_ev=FIT_WINDOW_EV, extra_edges=(), optics=optics
    )
    borders = np.quantile(thickness[thickness >= VACUUM_THICKNESS], np.linspace(0, 1, _N_LEVELS))
    labels = np.where(thickness < VACUUM_THICKNESS, 0, 1 + np.digitize(thickness, borders[1:-1]))
    present = np.unique(labels)
    levels = np.array([thickness[labels == label].mean() for label in present])
    means = {
        species: np.array([values[labels == label].mean() for label in present]) for species, values in atoms.items()
    }
    share = eels.efficiency * np.array([collected[labels == label].mean() for label in present])
    low, core = (
        spectrometer.expected_spectra(means, levels, np.zeros(levels.size), acquisition, core=core) * share[:, None]
        for core in (False, True)
    )
    sizes = np.bincount(labels.ravel())[present]
    # Without vacuum in the scan the mean of all spectra takes its place, as in the fit.
    unscattered = low[0].sum() if present[0] == 0 else np.average(low.sum(axis=1), weights=sizes)
    kernels = low.astype(np.float64) / unscattered
    columns = np.concatenate([basis.white_line_columns(kernels, Distortion()), basis.smooth_columns(kernels)], axis=1)
    noise = _noise(acquisition)
    n = len(basis.states)
    fits = [linear_filter(c, y.astype(np.float64), noise) for c, y in zip(columns, core[:, basis.window], strict=True)]
    total = np.sum([means[state] for state in basis.states], axis=0)
    amplitudes = np.array([(f[:n] @ y).sum() for (f, _), y in zip(fits, core[:, basis.window], strict=True)])
    unit = float(amplitudes[present > 0].sum() / total[present > 0].sum())
    return levels, unit, np.stack([c[:n, :n] for _, c in fits]).astype(np.float32), basis.states


def _noise(acquisition: Acquisition) -> tuple[float, float]:
    """Variance per count and of the readout, whose rounding adds a twelfth."""
    return acquisition.eels.gain, acquisition.eels.readout_noise**2 + 1 / 12


@checked
def draw_maps(maps: ValenceMaps, *, rng: np.random.Generator) -> ValenceMaps:
    """Add noise of the covariance of the maps to their amplitudes: one more repeat of the experiment.

    Parameters
    ----------
    maps : ValenceMaps
        Free of noise, see `expected_maps`; other maps become noisier than their covariance says.
    rng : numpy.random.Generator

    Returns
    -------
    ValenceMaps

    Examples
    --------
    >>> from tritomo_helpers import phantoms
    >>> scan = {"scan_shape": (16, 16), "pixel_size_nm": 18.52, "tilt_angles_deg": (0.0,)}
    >>> silent = expected_maps(phantoms.particle("pristine-1", shape=16), Acquisition.ideal(**scan))
    >>> noisy = draw_maps(silent, rng=np.random.default_rng(1))
    >>> z = (noisy.amplitudes["Mn4"].images - silent.amplitudes["Mn4"].images) / silent.covariance[..., 0, 0] ** 0.5
    >>> 0.85 < float(z.std()) < 1.15
    True
    """
    root = np.linalg.cholesky(maps.covariance.astype(np.float64))
    white = rng.standard_normal(maps.covariance.shape[:-1])
    noise = np.einsum("...ij,...j->...i", root, white)
    amplitudes = {
        state: series.replace(images=series.images + noise[..., i].astype(np.float32))
        for i, (state, series) in enumerate(maps.amplitudes.items())
    }
    return replace(maps, amplitudes=amplitudes)
