"""Background subtraction as published: two functions, a sweep over windows and weights, and a score with a gate.

References
----------
The paper's Methods, "EELS drift correction and background subtraction".
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._typing import Bools, Floats, Floats32
from .._validation import check_increasing, check_ndim, checked, fail
from ..constants import BEAM_ENERGY_KEV, COLLECTION_ANGLE_MRAD, CONVERGENCE_ANGLE_MRAD
from ..spectroscopy import continuum as continuum_model
from ..spectroscopy import over_spectra, parse_edge
from .background_sweep import Judged, Sweep
from .channels import check_channels
from .deconvolution import Complexes, PassBand, check_low_loss
from .peaks import check_energies
from .sweep_settings import Candidate, SweepSettings
from .zero_loss import check_same_dispersion


@dataclass(frozen=True, eq=False)
class EdgeSpectra:
    """Background-free, deconvolved edges and how they came about; ``np.asarray`` gives the spectra.

    Parameters
    ----------
    edge : str
        Such as ``"Mn L"``.
    energy_ev : ndarray, shape (energy,)
        eV.
    spectra : ndarray of float32, shape (..., energy)
        Counts of single scattering, proportional to atoms per area; NaN where rejected.
    rejected : ndarray of bool, shape (...)
        No candidate passed the gate.
    scale : ndarray of float32, shape (...)
        Integral of the continuum model over that of the spectrum in the post-edge window: counts times this are
        barn/eV/atom.
    pre_slope, post_slope, score : ndarray of float32, shape (...)
        Of the candidate taken, after that normalization.
    candidate : ndarray of int16, shape (...)
        Index into `candidates`, -1 where rejected.
    exponents : ndarray of float32, shape (..., 2)
        b and d (twice b for function 1).
    candidates : tuple of Candidate
        What was tried.
    settings : SweepSettings
        With what.
    """

    edge: str
    energy_ev: Floats
    spectra: Floats32
    rejected: Bools
    scale: Floats32
    pre_slope: Floats32
    post_slope: Floats32
    score: Floats32
    candidate: NDArray[np.int16]
    exponents: Floats32
    candidates: tuple[Candidate, ...]
    settings: SweepSettings

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.spectra, dtype=dtype, copy=copy)

    def rejected_share(self, mask: ArrayLike | None = None) -> float:
        """Share of spectra (inside `mask`) for which no candidate passed the gate."""
        rejected = self.rejected if mask is None else self.rejected[np.asarray(mask, dtype=bool)]
        return float(rejected.mean())

    def exponent_at_end_share(self, mask: ArrayLike | None = None) -> float:
        """Share of accepted spectra whose exponents touch an end of the grid, so that the grid decided."""
        accepted = ~self.rejected if mask is None else ~self.rejected & np.asarray(mask, dtype=bool)
        ends = np.array([self.settings.exponents[0], self.settings.exponents[-1]], dtype=np.float32)
        return float(np.isin(self.exponents[accepted], ends).any(axis=-1).mean())


@checked
def subtract_background(
    counts: ArrayLike,
    energy_ev: ArrayLike,
    low_loss: ArrayLike,
    low_loss_ev: ArrayLike,
    *,
    edge: str,
    continuum: str | Callable[..., Any] = "hydrogenic",
    settings: SweepSettings | None = None,
    incident_counts: ArrayLike | None = None,
    beam_energy_kev: float = BEAM_ENERGY_KEV,
    convergence_angle_mrad: float = CONVERGENCE_ANGLE_MRAD,
    collection_angle_mrad: float = COLLECTION_ANGLE_MRAD,
) -> EdgeSpectra:
    r"""Subtract the background below an edge by the published sweep.

    Function 1 fits the pre-edge window alone, function 2 both windows:

    .. math:: B_1 = a x^{-b} + c, \qquad
              B_2 = a x^{-b} + c x^{-d} + f \;(+\; e x + g \text{ after the edge, not subtracted})

    Every candidate is subtracted, deconvolved by the low loss of its pixel, low-pass filtered, scaled so that its
    integral over the post-edge window is that of the continuum model, and scored:

    .. math:: |s_\mathrm{pre}| + C_w\, |s_\mathrm{post} - s_\mathrm{model}|, \qquad
              |s_\mathrm{pre}| \le T_\mathrm{slope}

    with slopes of straight lines through its own windows. The smallest score wins.

    Parameters
    ----------
    counts : array_like, shape (..., energy)
        Core-loss spectra after :func:`align_zero_loss`: numpy, memory map or Dask.
    energy_ev : array_like, shape (energy,)
        Their axis, evenly spaced, eV.
    low_loss : array_like, shape (..., energy of the low loss)
        Low-loss spectra of the same pixels.
    low_loss_ev : array_like, shape (energy of the low loss,)
        Their axis, of the same dispersion, eV. Zero loss belongs at 0 eV: what is left of the drift is divided out.
    edge : str
        ``"Mn L"`` or ``"Co L"``; others need `settings`.
    continuum : str or callable, default ``"hydrogenic"``
        Model of :func:`continuum`.
    settings : SweepSettings, optional
        By default :meth:`SweepSettings.for_edge`.
    incident_counts : array_like, shape (...), optional
        Counts of the low loss with no specimen, see :func:`fourier_ratio`.
    beam_energy_kev, convergence_angle_mrad, collection_angle_mrad : float
        The microscope, for the continuum model.

    Returns
    -------
    EdgeSpectra
        Float32, one tilt at a time; NaN where every candidate was rejected or the low loss is unusable.

    Raises
    ------
    ValueError
        If the edge, a window or a range is not on the axis, the pixels or dispersions of the two ranges differ, or
        channels are dead, saturated or NaN.

    References
    ----------
    The paper's Methods, "EELS drift correction and background subtraction"; Cueva et al., Microsc. Microanal. 18, 667
    (2012).

    Examples
    --------
    >>> energy = 600 + 0.15 * np.arange(1200)
    >>> low_ev = -30 + 0.15 * np.arange(1000)
    >>> low = np.exp(-((low_ev / 0.6) ** 2))
    >>> spectrum = 3e3 * (energy / 600) ** -3 + 0.5 * continuum_model("Mn L", energy)
    >>> result = subtract_background(spectrum, energy, low, low_ev, edge="Mn L")
    >>> inside = (result.energy_ev > 700) & (result.energy_ev < 760)
    >>> bool(np.allclose(result.spectra[inside], 0.5 * continuum_model("Mn L", result.energy_ev[inside]), rtol=0.1))
    True
    """
    energy, low_energy = check_increasing(energy_ev, "energy_ev"), check_increasing(low_loss_ev, "low_loss_ev")
    check_energies(counts, "counts", energy)
    check_low_loss(low_loss, np.shape(counts)[:-1])
    check_energies(low_loss, "low_loss", low_energy)
    used_settings = SweepSettings.for_edge(edge) if settings is None else settings
    optics: dict[str, Any] = {
        "beam_energy_kev": beam_energy_kev,
        "convergence_angle_mrad": convergence_angle_mrad,
        "collection_angle_mrad": collection_angle_mrad,
    }
    sweep, cut = _plan(
        energy, low_energy, edge, used_settings, lambda e: continuum_model(edge, e, model=continuum, **optics)
    )
    leading = np.shape(counts)[:-1]
    incident = np.nan if incident_counts is None else np.asarray(incident_counts, dtype=float)

    def best(block: NDArray[Any], low: NDArray[Any], electrons: Floats) -> tuple[NDArray[Any], ...]:
        check_channels(block[:, cut], energy[cut])
        inverse = _inverse(sweep, low, low_energy, electrons[:, 0])
        return _best_of(sweep, block[:, cut], inverse)

    side = np.broadcast_to(incident, leading)[..., None]
    spectra, scale, pre, post, score, candidate, exponents = over_spectra(counts, best, low_loss, side)
    return EdgeSpectra(
        edge=edge,
        energy_ev=sweep.energy_ev,
        spectra=spectra,
        rejected=np.asarray(candidate < 0),
        scale=scale,
        pre_slope=pre,
        post_slope=post,
        score=score,
        candidate=candidate,
        exponents=exponents,
        candidates=sweep.candidates,
        settings=used_settings,
    )


class SweepStep(NamedTuple):
    """What one candidate makes of one spectrum."""

    candidate: Candidate
    exponents: tuple[float, float]
    background: Floats
    """Counts, shape (energy,)."""
    spectrum: Floats
    """Deconvolved and filtered, barn/eV/atom, shape (energy,); NaN where its post-edge integral is not positive."""
    pre_slope: float
    post_slope: float
    score: float
    """NaN where the gate rejects it."""


@checked
def sweep_background(
    counts: ArrayLike,
    energy_ev: ArrayLike,
    low_loss: ArrayLike,
    low_loss_ev: ArrayLike,
    *,
    edge: str,
    continuum: str | Callable[..., Any] = "hydrogenic",
    settings: SweepSettings | None = None,
) -> list[SweepStep]:
    """Show every candidate of :func:`subtract_background` for one spectrum.

    Parameters
    ----------
    counts : array_like, shape (energy,)
        One core-loss spectrum.
    energy_ev, low_loss, low_loss_ev, edge, continuum, settings
        As there, at 300 kV and 25.2 / 100 mrad.

    Returns
    -------
    list of SweepStep
        In the order of ``SweepSettings.candidates``.

    Examples
    --------
    >>> energy, low_ev = 600 + 0.15 * np.arange(1200), -30 + 0.15 * np.arange(1000)
    >>> spectrum = 3e3 * (energy / 600) ** -3 + 0.5 * continuum_model("Mn L", energy)
    >>> steps = sweep_background(spectrum, energy, np.exp(-((low_ev / 0.6) ** 2)), low_ev, edge="Mn L")
    >>> len(steps), steps[0].background.shape
    (54, (1112,))
    """
    check_ndim(counts, "counts", "energy")
    energy, low_energy = check_increasing(energy_ev, "energy_ev"), check_increasing(low_loss_ev, "low_loss_ev")
    check_energies(counts, "counts", energy)
    check_energies(low_loss, "low_loss", low_energy)
    used_settings = SweepSettings.for_edge(edge) if settings is None else settings
    sweep, cut = _plan(energy, low_energy, edge, used_settings, lambda e: continuum_model(edge, e, model=continuum))
    block = np.asarray(counts, dtype=float)[None, cut]
    inverse = _inverse(sweep, np.asarray(low_loss, dtype=float)[None], low_energy, np.full(1, np.nan))
    return [
        SweepStep(
            sweep.candidates[judged.number],
            (float(judged.exponents[0, 0]), float(judged.exponents[0, 1])),
            np.asarray(judged.background[0] @ sweep.background_basis),
            np.asarray(sweep.subtracted(block, judged.background, inverse)[0] * judged.scale[0], dtype=float),
            *(float(v[0]) for v in (judged.pre_slope, judged.post_slope, judged.score)),
        )
        for judged in sweep.judge(block, inverse)
    ]


def _plan(
    energy: Floats, low_energy: Floats, edge: str, settings: SweepSettings, model: Callable[[Floats], Floats]
) -> tuple[Sweep, slice]:
    step = check_same_dispersion(low_energy, energy)
    slack = 0.01 * step
    first, stop = np.searchsorted(energy, (settings.range_ev[0] - slack, settings.range_ev[1] + slack))
    onset = parse_edge(edge).onset_ev
    for window in {*settings.pre_windows_ev, *settings.post_windows_ev}:
        inside = (energy >= window[0] - slack) & (energy <= window[1] + slack)
        # Axes are cropped by the drift: a window may lose a quarter.
        if inside[first:stop].sum() < max(8, 0.75 * (window[1] - window[0]) / step):
            raise fail(
                f"window {window[0]:g} to {window[1]:g} eV",
                expected=f"a window on the axis, here {energy[0]:g} to {energy[-1]:g} eV",
                got=f"{int(inside.sum())} channels",
                remedy="record a wider range, or give SweepSettings with windows that fit",
            )
    if not max(w[1] for w in settings.pre_windows_ev) <= onset <= min(w[0] for w in settings.post_windows_ev):
        raise fail(
            "settings",
            expected=f"pre-edge windows below and post-edge windows above the onset of {edge} at {onset:g} eV",
            got=f"{settings.pre_windows_ev} and {settings.post_windows_ev}",
            remedy="move the windows, or check the edge",
        )
    cut = slice(int(first), int(stop))
    n = cut.stop - cut.start
    band = PassBand.of(n, dispersion_ev=step, cutoff_per_ev=settings.cutoff_per_ev, n_least=low_energy.size)
    return (
        Sweep(
            energy_ev=energy[cut],
            candidates=settings.candidates,
            exponents=settings.exponents,
            intercept=settings.intercept,
            model=model(energy[cut]),
            band=band,
            slope_weight=settings.slope_weight,
            max_pre_slope=settings.max_pre_slope,
        ),
        cut,
    )


def _inverse(sweep: Sweep, low: NDArray[Any], low_energy: Floats, electrons: Floats) -> Complexes:
    """Inverse filters (n, f); NaN where the low loss is unusable."""
    counts = low.astype(np.float32)
    incident = np.where(np.isnan(electrons), counts.sum(axis=1, dtype=float), electrons)
    usable = (incident > 0) & np.isfinite(counts).all(axis=1)
    if not usable.any():
        return np.full((low.shape[0], sweep.band.frequency_per_ev.size), np.nan, dtype=np.complex64)
    zero = np.full(low.shape[0], -low_energy[0] / sweep.band.dispersion_ev)
    counts = np.where(usable[:, None], counts, np.float32(1))
    inverse = sweep.band.inverse_filter(counts, zero, np.where(usable, incident, 1.0))
    return np.where(usable[:, None], inverse, np.complex64(np.nan))


def _best_of(sweep: Sweep, counts: NDArray[Any], inverse: Complexes) -> tuple[NDArray[Any], ...]:
    n = counts.shape[0]
    best: Judged | None = None
    index = np.full(n, -1, dtype=np.int16)
    lowest = np.full(n, np.inf, dtype=np.float32)
    for judged in sweep.judge(counts, inverse):
        if best is None:
            best = Judged(-1, *(np.full_like(values, np.nan) for values in judged[1:]))
        better = judged.score < lowest  # never true for NaN
        lowest[better], index[better] = judged.score[better], judged.number
        for kept, values in zip(best[1:], judged[1:], strict=True):
            kept[better] = values[better]
    assert best is not None, "settings hold at least one candidate"
    spectra = np.full(counts.shape, np.nan, dtype=np.float32)
    accepted = index >= 0
    if accepted.any():
        spectra[accepted] = sweep.subtracted(counts[accepted], best.background[accepted], inverse[accepted])
    return spectra, best.scale, best.pre_slope, best.post_slope, best.score, index, best.exponents
