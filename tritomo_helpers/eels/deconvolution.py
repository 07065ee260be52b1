"""Plural scattering taken out: Fourier-ratio deconvolution inside a pass band.

References
----------
Egerton, Electron Energy-Loss Spectroscopy in the Electron Microscope, 3rd ed. (2011), section 4.3.
"""

from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._typing import Floats
from .._validation import check_broadcast, check_positive, check_shape, checked, fail
from ..spectroscopy import over_spectra
from .zero_loss import zero_loss_center

Complexes = NDArray[np.complexfloating[Any, Any]]

# Where the low-pass filter begins to fall, as a share of the cutoff.
_ROLL_OFF_FROM: Final = 0.8
# Beyond its last channel a spectrum is led smoothly back to the level of its first channels, over this many eV,
_RETURN_EV: Final = 80.0
# and stays there long enough for the wrapped-around tail of the deconvolution to die out.
_REST_EV: Final = 80.0
_END_LEVEL_CHANNELS: Final = 20
# The smallest share of single electrons that is divided by: e^-t/lambda times the blur of the zero loss.
_SMALLEST_KERNEL: Final = 0.01


@dataclass(frozen=True, eq=False)
class PassBand:
    """Fourier components below a cutoff of spectra that are led smoothly back to where they began.

    Parameters
    ----------
    n_energies : int
        Channels of the spectra.
    n_padded : int
        Channels of the period.
    dispersion_ev : float
        Channel width, eV.
    frequency_per_ev : ndarray, shape (f,)
        Frequencies below the cutoff, 1/eV.
    low_pass : ndarray, shape (f,)
        1 up to four fifths of the cutoff, then half a cosine down to 0 at the cutoff.
    """

    n_energies: int
    n_padded: int
    dispersion_ev: float
    frequency_per_ev: Floats
    low_pass: Floats

    @classmethod
    def of(cls, n_energies: int, *, dispersion_ev: float, cutoff_per_ev: float, n_least: int = 0) -> Self:
        """Plan the transforms of spectra of `n_energies` channels; the period holds `n_least` channels at least."""
        from scipy.fft import next_fast_len

        check_positive(dispersion_ev, "dispersion_ev", remedy="give the width of a channel in eV")
        check_positive(cutoff_per_ev, "cutoff_per_ev", remedy="give the cutoff frequency in 1/eV, such as 0.36")
        room = round((_RETURN_EV + _REST_EV) / dispersion_ev)
        n_padded = int(next_fast_len(max(n_energies + room, n_least), real=True))
        frequency = np.asarray(np.fft.rfftfreq(n_padded, dispersion_ev), dtype=np.float64)
        frequency = frequency[frequency < cutoff_per_ev]
        fall = np.clip((frequency / cutoff_per_ev - _ROLL_OFF_FROM) / (1 - _ROLL_OFF_FROM), 0, 1)
        return cls(n_energies, n_padded, dispersion_ev, frequency, 0.5 * (1 + np.cos(np.pi * fall)))

    def forward(self, spectra: NDArray[Any]) -> Complexes:
        """Transform spectra (..., energy), led back to their beginning, into components (..., f)."""
        from scipy.fft import rfft

        m = min(_END_LEVEL_CHANNELS, self.n_energies)
        begin, end = (spectra[..., cut].mean(axis=-1, keepdims=True) for cut in (slice(0, m), slice(-m, None)))
        n_return = min(round(_RETURN_EV / self.dispersion_ev), self.n_padded - self.n_energies)
        way = np.ones(self.n_padded - self.n_energies, dtype=spectra.dtype)
        way[:n_return] = 0.5 * (1 - np.cos(np.pi * (np.arange(n_return) + 0.5) / n_return))
        whole = np.concatenate([spectra, end + (begin - end) * way], axis=-1)
        return np.asarray(rfft(whole, axis=-1, overwrite_x=True)[..., : self.frequency_per_ev.size])

    def backward(self, components: Complexes) -> NDArray[Any]:
        """Transform components (..., f) back into spectra (..., energy)."""
        from scipy.fft import irfft

        return np.asarray(irfft(components, self.n_padded, axis=-1)[..., : self.n_energies])

    def functional(self, weights: Floats) -> Complexes:
        r"""Components c of a linear functional: :math:`\sum_E w\, y = \mathrm{Re} \sum_f c^* \hat y`.

        Parameters
        ----------
        weights : ndarray, shape (..., energy)
            w of spectra that come out of :meth:`backward`.

        Returns
        -------
        ndarray of complex, shape (..., f)
        """
        components = np.fft.rfft(weights, self.n_padded, axis=-1)[..., : self.frequency_per_ev.size]
        return np.asarray(components * np.where(self.frequency_per_ev == 0, 1, 2) / self.n_padded)

    def inverse_filter(self, low_loss: NDArray[Any], zero_channel: Floats, incident_counts: Floats) -> Complexes:
        r"""Low-pass filter over the kernel of each low-loss spectrum, :math:`\hat G / \hat K`.

        Parameters
        ----------
        low_loss : ndarray, shape (n, m)
            Low-loss spectra of the same channel width.
        zero_channel : ndarray, shape (n,)
            Channel of zero loss; a fraction is allowed.
        incident_counts : ndarray, shape (n,)
            Counts of the whole low loss, which make its kernel one of unit area.

        Returns
        -------
        ndarray of complex, shape (n, f)
        """
        from scipy.fft import rfft

        n_fit = min(low_loss.shape[1], self.n_padded)
        kernel = rfft(low_loss[:, :n_fit], self.n_padded, axis=1)[:, : self.frequency_per_ev.size]
        phase_factor = np.exp(2j * np.pi * self.dispersion_ev * zero_channel[:, None] * self.frequency_per_ev)
        kernel = kernel * (phase_factor / incident_counts[:, None]).astype(kernel.dtype)
        size = np.abs(kernel)
        # Where less than a hundredth is left, the phase is divided out and the size is not: noise stays bounded.
        return np.asarray(
            (self.low_pass * kernel.conj() / np.maximum(size, _SMALLEST_KERNEL) ** 2).astype(kernel.dtype)
        )


@checked
def low_pass(spectra: ArrayLike, *, dispersion_ev: float, cutoff_per_ev: float) -> Floats:
    """Filter spectra as :func:`fourier_ratio` does, without deconvolution: what its results are to be compared with.

    Parameters
    ----------
    spectra : array_like, shape (..., energy)
        Counts: numpy, memory map or Dask.
    dispersion_ev, cutoff_per_ev : float
        Channel width, eV, and cutoff frequency, 1/eV.

    Returns
    -------
    ndarray of float64, shape (..., energy)

    Examples
    --------
    >>> energy = np.arange(600, 700, 0.15)
    >>> line = np.exp(-(((energy - 640) / 3) ** 2))
    >>> bool(np.allclose(low_pass(line, dispersion_ev=0.15, cutoff_per_ev=0.36), line, atol=2e-3))
    True
    """
    n_energies = (np.shape(spectra) or (0,))[-1]
    if not n_energies:
        raise fail("spectra", expected="energies along the last axis", got="none", remedy="give counts (..., energy)")
    band = PassBand.of(n_energies, dispersion_ev=dispersion_ev, cutoff_per_ev=cutoff_per_ev)

    def filtered(rows: NDArray[Any]) -> Floats:
        finite = np.where(np.isinf(rows), np.nan, np.asarray(rows, float))
        return band.backward(band.forward(finite) * band.low_pass)

    return np.asarray(over_spectra(spectra, filtered))


@checked
def fourier_ratio(
    edge: ArrayLike,
    low_loss: ArrayLike,
    *,
    dispersion_ev: float,
    cutoff_per_ev: float,
    zero_channel: ArrayLike | None = None,
    incident_counts: ArrayLike | None = None,
) -> Floats:
    r"""Take plural scattering and the zero-loss peak out of core-loss edges.

    .. math:: \hat s(f) = \hat G(f)\, \frac{\hat e(f)}{\hat K(f)}, \qquad K = \frac{I_\mathrm{low}}{N}

    with the background-free edge e, the low loss divided by its N electrons, and the low-pass filter G.

    Parameters
    ----------
    edge : array_like, shape (..., energy)
        Counts of background-free edges: numpy, memory map or Dask.
    low_loss : array_like, shape (..., energy of the low loss)
        Low-loss spectra of the same pixels and channel width.
    dispersion_ev : float
        Channel width of both, eV.
    cutoff_per_ev : float
        Frequency at which G reaches zero, 1/eV; it falls from four fifths of it on. Paper: 0.36 (Mn), 0.32 (Co).
    zero_channel : array_like, shape (...), optional
        Channel of zero loss, a fraction allowed. By default the center of each zero-loss peak. The channel that
        *should* hold it (after :func:`align_zero_loss`) takes the drift out of the edge as well.
    incident_counts : array_like, shape (...), optional
        N; by default the sum of each low-loss spectrum. The axis ends, so that this sum lacks .2, .8 and 2 % of the
        electrons at t/lambda of .5, 1 and 1.5; the sum in vacuum does not.

    Returns
    -------
    ndarray of float64, shape (..., energy)
        The unit of `edge`. The kernel has unit area, so the result holds the counts of single scattering without
        losses: atoms per area times cross-section times electrons. It adds up along a projection. NaN where the edge
        or its low loss cannot be used (NaN, no counts, no zero loss).

    Raises
    ------
    ValueError
        If the pixels differ, or a width or cutoff is not positive.

    Notes
    -----
    Convolving the result with the measured zero-loss peak, as is often done, leaves :math:`e^{-t/\lambda}` in it.
    The filter alone lowers narrow peaks: compare with :func:`low_pass` of the truth.

    References
    ----------
    Egerton, Electron Energy-Loss Spectroscopy in the Electron Microscope, 3rd ed. (2011), section 4.3.

    Examples
    --------
    >>> edge = np.exp(-(((np.arange(600, 800, 0.15) - 650) / 4) ** 2))
    >>> low = np.zeros(1000)
    >>> low[200], low[350] = 3.0, 1.0  # a quarter of the electrons lost 22.5 eV
    >>> measured = 0.75 * edge + 0.25 * np.roll(edge, 150)
    >>> result = fourier_ratio(measured, low, dispersion_ev=0.15, cutoff_per_ev=0.36, zero_channel=200)
    >>> bool(np.abs(result - edge).max() < 0.002)
    True
    """
    leading = np.shape(edge)[:-1]
    check_low_loss(low_loss, leading)
    n_low = np.shape(low_loss)[-1]
    band = PassBand.of(np.shape(edge)[-1], dispersion_ev=dispersion_ev, cutoff_per_ev=cutoff_per_ev, n_least=n_low)
    sides = [
        np.full((*leading, 1), np.nan) if value is None else check_broadcast(value, what, leading)[..., None]
        for what, value in (("zero_channel", zero_channel), ("incident_counts", incident_counts))
    ]

    def divide(edges: NDArray[Any], low: NDArray[Any], zero: Floats, incident: Floats) -> Floats:
        return _divide(band, np.asarray(edges, float), np.asarray(low, float), zero[:, 0], incident[:, 0])

    return np.asarray(over_spectra(edge, divide, low_loss, *sides))


def _divide(band: PassBand, edges: Floats, low: Floats, zero: Floats, incident: Floats) -> Floats:
    zero = np.where(
        np.isnan(zero), zero_loss_center(low, np.arange(low.shape[1]) * band.dispersion_ev), zero * band.dispersion_ev
    )
    incident = np.where(np.isnan(incident), low.sum(axis=1), incident)
    usable = np.isfinite(zero) & (incident > 0) & np.isfinite(edges).all(axis=1)
    result = np.full(edges.shape, np.nan)
    if usable.any():
        inverse = band.inverse_filter(low[usable], zero[usable] / band.dispersion_ev, incident[usable])
        result[usable] = band.backward(band.forward(edges[usable]) * inverse)
    return result


def check_low_loss(low_loss: Any, leading: tuple[int, ...]) -> None:
    """Raise ValueError unless there is one low-loss spectrum per core-loss spectrum."""
    check_shape(
        low_loss,
        "low_loss",
        (*leading, (np.shape(low_loss) or (1,))[-1]),
        remedy="take both ranges from one scan, with one low loss per edge",
    )
