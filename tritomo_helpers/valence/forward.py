r"""Valence from raw dual-EELS spectra by a forward model: nothing is subtracted, deconvolved or clipped.

Counts of a pixel are modeled as

.. math:: y(E) = K * \Big[\sum_s a_s w_s(E) + \sum_c b_c \sigma_c(E) + \sum_k d_k E^{-p_k}\Big]

with the low-loss kernel K of pixels of like thickness, white lines w of every state, continua σ of every metal and
model, and four smooth backgrounds. For pixels of one kernel the least-squares solution is one matrix, so that a whole
tilt series is a few matrix products. Amplitudes are signed: clipping noise at zero makes valence that is not there.

References
----------
Verbeeck and Van Aert, Ultramicroscopy 101, 207 (2004): models fitted to raw spectra.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._typing import Floats
from .._validation import check_positive, checked, fail
from ..constants import (
    BEAM_ENERGY_KEV,
    COLLECTION_ANGLE_MRAD,
    CONVERGENCE_ANGLE_MRAD,
    EDGE_ONSET_EV,
    SPECIES_ELEMENT,
)
from ..containers import SpectrumTiltSeries, TiltSeries
from ..spectroscopy import ReferenceSet, references
from .basis import Basis, Distortion, check_coverage
from .calibration import Calibration, PooledFit, PooledSpectra, calibrate, orthonormal
from .kernels import VACUUM_THICKNESS
from .tilts import N_BINS, Tilts, side_by_side

FIT_WINDOW_EV = (602.0, 905.0)
WITHHELD_ABOVE_POINTS = 25.0
"""Percentages whose systematic interval is wider than this are withheld: a wrong number is worse than none."""
GOOD_CHI2 = 1.05
"""Up to here the references describe pooled spectra; beyond, the spread between reference sets is the error."""


@checked
@dataclass(frozen=True, eq=False)
class ValenceMaps:
    """Amplitudes of valence states at every pixel, and how far they may be believed.

    Parameters
    ----------
    amplitudes : mapping of state to TiltSeries
        Signed, proportional to atoms per area with one unit for all states of an element; NaN where a spectrum could
        not be used.
    covariance : ndarray of float32, shape (tilt, y, x, state, state)
        Of the amplitudes, in the order of `amplitudes`.
    chi2 : float
        Chi squared per degree of freedom of the pooled spectra. Near 1 the references describe the data; that alone is
        no proof.
    chi2_of : mapping of str to float
        The same with each reference set alone, and with their mix.
    calibration : Distortion
        How the data differ from the references.
    thickness : TiltSeries
        t/lambda.
    calibration_error : mapping of state to float
        Standard error of the whole particle's percentage from what was calibrated, points.
    systematic : mapping of state to (float, float)
        Interval of the whole particle's percentage from what the references leave open, percent.
    reportable : mapping of element to bool
        Whether its percentages may be given.
    warnings : tuple of str
        What the reader of a number must know.
    noise : (float, float)
        Variance per count and readout variance that were used.
    """

    amplitudes: Mapping[str, TiltSeries]
    covariance: NDArray[np.float32]
    chi2: float
    chi2_of: Mapping[str, float]
    calibration: Distortion
    thickness: TiltSeries
    calibration_error: Mapping[str, float]
    systematic: Mapping[str, tuple[float, float]]
    reportable: Mapping[str, bool]
    warnings: tuple[str, ...] = ()
    noise: tuple[float, float] = (1.0, 0.0)
    elements: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "elements", tuple(dict.fromkeys(SPECIES_ELEMENT[s] for s in self.amplitudes)))

    def states_of(self, element: str) -> tuple[str, ...]:
        """Return the states of one element."""
        return tuple(state for state in self.amplitudes if SPECIES_ELEMENT[state] == element)

    def particle_percentages(self) -> dict[str, tuple[float, float]]:
        """Percentages of the whole particle, all tilts together, with their standard error.

        Returns
        -------
        dict of state to (float, float)
            Percent of the element's ions, and standard error in points, of counting and calibration together. NaN where
            the element is not reportable.
        """
        inside = self.thickness.images >= VACUUM_THICKNESS
        result = {}
        states = list(self.amplitudes)
        for element in self.elements:
            own = [states.index(state) for state in self.states_of(element)]
            values = np.stack([self.amplitudes[states[i]].images[inside] for i in own])
            usable = np.isfinite(values).all(axis=0)
            sums = values[:, usable].sum(axis=1)
            covariance = self.covariance[inside][usable][:, own][:, :, own].sum(axis=0, dtype=np.float64)
            total = sums.sum()
            share = sums / total
            gradient = (np.eye(len(own)) - share[:, None]) / total
            errors = np.sqrt(np.diag(gradient @ covariance @ gradient.T))
            for i, value, error in zip(own, share, errors, strict=True):
                total_error = float(np.hypot(100 * error, self.calibration_error[states[i]]))
                withheld = not self.reportable[element]
                result[states[i]] = (np.nan, np.nan) if withheld else (100 * float(value), total_error)
        return result


@checked
def fit_spectra(
    core_loss: SpectrumTiltSeries,
    low_loss: SpectrumTiltSeries,
    *,
    references: Mapping[str, ReferenceSet | Sequence[ReferenceSet]] | Sequence[str] | str = (
        "crystal-field",
        "charge-transfer",
    ),
    calibrate: bool = True,
    fit_window_ev: tuple[float, float] = FIT_WINDOW_EV,
    extra_edges: Sequence[str] = (),
    variance_per_count: float | None = None,
    readout_variance: float | None = None,
    beam_energy_kev: float = BEAM_ENERGY_KEV,
    convergence_angle_mrad: float = CONVERGENCE_ANGLE_MRAD,
    collection_angle_mrad: float = COLLECTION_ANGLE_MRAD,
    progress: bool = False,
) -> ValenceMaps:
    r"""Fit raw core-loss spectra with the white lines of all valence states.

    Parameters
    ----------
    core_loss, low_loss : SpectrumTiltSeries
        Counts (tilt, y, x, energy) of both ranges, as recorded: not aligned, not filtered. numpy, memory map or Dask;
        two tilts are in memory at a time.
    references : mapping, str or sequence of str
        Reference sets by element (Mn, Co, Ni), one or two each; or the names of computed sets. With two sets the shape
        may lie anywhere between them, and their difference tells how far the percentages depend on it. A missing
        nickel is taken from the computed sets: its lines overlap with the continuum of cobalt.
    calibrate : bool, default True
        Fit shift, width and L3/L2 ratio of the references (and the mix of two sets) to pooled spectra first.
    fit_window_ev : (float, float)
        Part of the core loss that is fitted, eV.
    extra_edges : sequence of str
        Further edges in the window, such as ``("F K",)`` after contact with the electrolyte.
    variance_per_count, readout_variance : float, optional
        Noise of a channel: variance = variance_per_count x counts + readout_variance. By default estimated from the
        scatter between neighboring pixels.
    beam_energy_kev, convergence_angle_mrad, collection_angle_mrad : float
        The microscope.
    progress : bool, default False
        Show a progress bar.

    Returns
    -------
    ValenceMaps

    Raises
    ------
    ValueError
        If shapes, angles or dispersions of the two ranges differ, 0 eV is not on the low-loss axis, an edge or a
        reference does not cover the window, channels are dead or saturated, or there is nothing but vacuum.

    Notes
    -----
    Memory: about 120 MB for each of two tilts of 64 x 64 pixels of 2048 channels.

    Examples
    --------
    >>> import numpy as np
    >>> from tritomo_helpers import phantoms, simulation
    >>> tilts = {"tilt_angles_deg": (-50.0, 0.0, 30.0), "repeats": False}
    >>> settings = simulation.Acquisition.tiny(signals=("eels",), **tilts)
    >>> got = simulation.acquire(phantoms.particle("pristine-1", shape=16), settings, rng=np.random.default_rng(1))
    >>> maps = fit_spectra(got.core_loss, got.low_loss, references="crystal-field", calibrate=False)
    >>> abs(maps.particle_percentages()["Mn4"][0] - 84.5) < 5
    True
    """
    _check_pair(core_loss, low_loss)
    optics = {
        "beam_energy_kev": check_positive(beam_energy_kev, "beam_energy_kev"),
        "convergence_angle_mrad": check_positive(convergence_angle_mrad, "convergence_angle_mrad", zero_ok=True),
        "collection_angle_mrad": check_positive(collection_angle_mrad, "collection_angle_mrad"),
    }
    sets = _reference_sets(references, last_ev=min(fit_window_ev[1], core_loss.energy_ev[-1]))
    check_coverage(core_loss.energy_ev, low_loss.energy_ev, sets, fit_window_ev)
    basis = Basis(
        core_loss.energy_ev,
        low_loss.energy_ev,
        sets=sets,
        fit_window_ev=fit_window_ev,
        extra_edges=extra_edges,
        optics=optics,
    )
    tilts = Tilts(core_loss, low_loss, basis.window)
    noise = tilts.noise(variance_per_count, readout_variance)
    spectra = PooledSpectra(tilts.pooled(noise), basis)
    calibration, chi2_of, spread = _calibrated(spectra, free=calibrate)
    distortion, fit = calibration.distortion, calibration.fit
    amplitudes, covariance = _fit_all(tilts, basis, distortion, noise, progress=progress)
    thickness = np.stack([tilt.thickness for tilt in tilts.binned])
    systematic, reportable, warnings = _judge(basis, fit, spread, distortion)
    n_tilts, ny, nx = core_loss.counts.shape[:3]
    angles, step = core_loss.tilt_angles_deg, core_loss.pixel_size_nm
    return ValenceMaps(
        amplitudes={
            state: TiltSeries(amplitudes[..., i].reshape(n_tilts, ny, nx), angles, step, state)
            for i, state in enumerate(basis.states)
        },
        covariance=covariance.reshape(n_tilts, ny, nx, len(basis.states), len(basis.states)),
        chi2=fit.chi2,
        chi2_of=chi2_of,
        calibration=distortion,
        thickness=TiltSeries(thickness.reshape(n_tilts, ny, nx), angles, step, "t/lambda"),
        calibration_error=_calibration_error(spectra, calibration),
        systematic=systematic,
        reportable=reportable,
        warnings=(*tilts.warnings(), *warnings),
        noise=noise,
    )


def _check_pair(core_loss: SpectrumTiltSeries, low_loss: SpectrumTiltSeries) -> None:
    for name, series in (("core_loss", core_loss), ("low_loss", low_loss)):
        if not isinstance(series, SpectrumTiltSeries):
            raise fail(
                name,
                expected="a SpectrumTiltSeries",
                got=type(series).__name__,
                remedy="load it with io.load_spectra, or wrap your array",
            )
    if core_loss.counts.shape[:3] != low_loss.counts.shape[:3]:
        raise fail(
            "low_loss",
            expected=f"the (tilt, y, x) of the core loss, {core_loss.counts.shape[:3]}",
            got=low_loss.counts.shape[:3],
            remedy="give both ranges of the same scan",
        )
    if np.abs(core_loss.tilt_angles_deg - low_loss.tilt_angles_deg).max() > 0.05:
        raise fail(
            "low_loss",
            expected="the tilt angles of the core loss",
            got="angles that differ by more than 0.05 degrees",
            remedy="give both ranges of the same tilts",
        )


def _reference_sets(given: Any, *, last_ev: float) -> dict[str, tuple[ReferenceSet, ...]]:
    """Return the sets of each element; nickel joins those given where its edge begins before `last_ev`."""
    if isinstance(given, str):
        given = (given,)
    if not isinstance(given, Mapping):
        return {el: tuple(references.load(el, name) for name in given) for el in ("Mn", "Co", "Ni")}
    sets = {el: (value,) if isinstance(value, ReferenceSet) else tuple(value) for el, value in given.items()}
    for element, value in sets.items():
        if not 1 <= len(value) <= 2 or any(one_set.element != element for one_set in value):
            raise fail(
                f"references for {element}",
                expected=f"one or two reference sets of {element}",
                got=", ".join(one_set.element for one_set in value) or "none",
                remedy="sort the sets by their element",
            )
    if last_ev > EDGE_ONSET_EV["Ni", "L3"]:
        sets.setdefault("Ni", (references.load("Ni"),))
    return {el: sets[el] for el in ("Mn", "Co", "Ni") if el in sets}


def _calibrated(spectra: PooledSpectra, *, free: bool) -> tuple[Calibration, dict[str, float], dict[str, list[Floats]]]:
    """Calibrate with each set alone and with their mix, which is used; return chi squared and shares of all."""
    if not free:
        as_given = Calibration(Distortion(), spectra.fit(Distortion()), [])
        tried = {"as given": as_given}
    elif max(spectra.basis.n_sets.values()) == 2:
        mixes: dict[str, float | None] = {"first set": 0.0, "second set": 1.0, "mix": None}
        tried = {name: calibrate(spectra, fixed_mix=mix) for name, mix in mixes.items()}
    else:
        tried = {"mix": calibrate(spectra)}
    spread = {el: [_shares(spectra, c.fit, el) for c in tried.values()] for el in spectra.basis.elements}
    *_, used = tried.values()
    return used, {name: calibration.fit.chi2 for name, calibration in tried.items()}, spread


def _calibration_error(spectra: PooledSpectra, calibration: Calibration) -> dict[str, float]:
    """Add up, in squares, what percentages change under each independent deviation of the calibration."""
    errors: dict[str, float] = {}
    fits = [spectra.fit(distortion) for distortion in calibration.deviations]
    for element in spectra.basis.elements:
        states = [state for state in spectra.basis.states if SPECIES_ELEMENT[state] == element]
        best = _shares(spectra, calibration.fit, element)
        changes = [_shares(spectra, fit, element) - best for fit in fits]
        variance = np.sum(np.square(changes), axis=0) if changes else np.zeros(len(states))
        errors |= dict(zip(states, np.sqrt(variance).tolist(), strict=True))
    return errors


def _shares(spectra: PooledSpectra, fit: PooledFit, element: str) -> Floats:
    """Percentages of an element's states over all pooled bins."""
    own = [i for i, state in enumerate(spectra.basis.states) if SPECIES_ELEMENT[state] == element]
    sums = spectra.pooled.n_pixels @ fit.amplitudes[:, own]
    return np.asarray(100 * sums / sums.sum())


def _judge(
    basis: Basis, fit: PooledFit, spread: Mapping[str, list[Floats]], distortion: Distortion
) -> tuple[dict[str, tuple[float, float]], dict[str, bool], list[str]]:
    """Decide what may be reported: the interval over reference sets counts where even their mix misfits."""
    systematic: dict[str, tuple[float, float]] = {}
    reportable: dict[str, bool] = {}
    warnings: list[str] = []
    misfit = fit.chi2 > GOOD_CHI2
    if misfit:
        warnings.append(
            f"the references do not describe the pooled spectra (chi squared {fit.chi2:.2f} per degree of freedom)"
        )
    for element in basis.elements:
        shares = np.stack(spread[element])
        states = [state for state in basis.states if SPECIES_ELEMENT[state] == element]
        used = shares if misfit else shares[-1:]
        for state, low, high in zip(states, used.min(axis=0), used.max(axis=0), strict=True):
            systematic[state] = (float(low), float(high))
        width = float(np.ptp(used, axis=0).max())
        reasons = {
            f"reference sets differ by {width:.0f} points": width > WITHHELD_ABOVE_POINTS,
            "the fit asks for less than nothing of a state": np.any((shares[-1] < -10) | (shares[-1] > 110)),
            "the references fit only when bent beyond what calibration may do": _is_strained(distortion, states),
            "with one reference set nothing tells how wrong they are": len(shares) == 1,
        }
        reason = next((text for text, applies in reasons.items() if applies), "") if misfit and len(states) > 1 else ""
        reportable[element] = not reason
        if reason:
            warnings.append(f"{element}: percentages withheld, since {reason}")
    return systematic, reportable, warnings


def _is_strained(distortion: Distortion, states: Sequence[str]) -> bool:
    """Whether states moved apart by more than half an electronvolt, or L3/L2 changed by more than a factor of 2."""
    shifts = [distortion.shift_ev.get(state, 0.0) for state in states]
    ratio = distortion.log_l3_l2.get(SPECIES_ELEMENT[states[0]], 0.0)
    return max(shifts) - min(shifts) > 0.5 or abs(ratio) > np.log(2)


def _fit_all(
    tilts: Tilts, basis: Basis, distortion: Distortion, noise: tuple[float, float], *, progress: bool
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Apply one linear filter per thickness bin and tilt."""
    from tqdm.auto import tqdm

    n_states = len(basis.states)
    shape = (tilts.n_tilts, tilts.n_y * tilts.n_x, n_states)
    amplitudes = np.full(shape, np.nan, dtype=np.float32)
    covariance = np.full((*shape, n_states), np.nan, dtype=np.float32)

    def fit(index: int) -> None:
        tilt, core = tilts.binned[index], tilts.core(index)
        columns = np.concatenate(
            [basis.white_line_columns(tilt.kernels, distortion), basis.smooth_columns(tilt.kernels)], axis=1
        )
        for label in range(N_BINS):
            pixels = tilt.pixels(label)
            if pixels.size:
                mean = tilts.sums[index, label] / pixels.size
                filters, bin_covariance = linear_filter(columns[label], mean, noise)
                amplitudes[index, pixels] = core[pixels, tilts.window] @ filters[:n_states].T
                covariance[index, pixels] = bin_covariance[:n_states, :n_states]

    done = tqdm(
        side_by_side(fit, tilts.n_tilts), desc="valence", unit="tilt", total=tilts.n_tilts, disable=not progress
    )
    for _ in done:
        pass
    return amplitudes, covariance


def linear_filter(columns: Floats, mean: Floats, noise: tuple[float, float]) -> tuple[NDArray[np.float32], Floats]:
    """Return (P V⁻¹ P')⁻¹ P V⁻¹ and the covariance (P V⁻¹ P')⁻¹ for the mean spectrum of a bin."""
    gain, floor = noise
    # Weights from the fitted mean: those from the counts themselves would favor channels that came out low.
    variance = np.full(mean.shape, max(gain * mean.mean(), 0.0) + max(floor, 1e-6))
    for _ in range(2):
        rows, inverse = orthonormal(columns / np.sqrt(variance))
        filters = inverse @ (rows / np.sqrt(variance))
        variance = gain * np.maximum((filters @ mean) @ columns, 0.0) + max(floor, 1e-6)
    covariance = (filters * variance) @ filters.T
    return filters.astype(np.float32), covariance
