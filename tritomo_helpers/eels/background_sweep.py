"""Both background functions over all windows, positions, weights and exponents, for many spectra at once.

Variable projection: with the exponents on a grid, all other parameters are linear, so that a fit is a product with a
small matrix and its quality the length of a projection. Adjoint functionals: slopes and integrals of a deconvolved,
filtered spectrum are products of its few Fourier components with fixed vectors, so that no candidate is ever built.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._typing import Floats, Floats32
from .deconvolution import Complexes, PassBand
from .sweep_settings import Candidate

# Directions in which a family of power laws has less than this share of its length are rounding.
_RANK_TOLERANCE = 1e-9


class Judged(NamedTuple):
    """What a candidate makes of a block of spectra."""

    number: int
    """Of the candidate."""
    background: Floats32
    """Coefficients in :attr:`Sweep.background_basis`, shape (n, r)."""
    exponents: Floats32
    scale: Floats32
    """Integral of the continuum model over that of the spectrum, barn/eV/atom per count; NaN where not positive."""
    pre_slope: Floats32
    post_slope: Floats32
    score: Floats32


class _Fit(NamedTuple):
    """Small matrices of one candidate: reduced data (n, k) -> quality and coefficients for each choice of exponents."""

    directions: Floats  # (k, choices * parameters)
    n_parameters: int
    backgrounds: list[Floats]  # per choice (k, r)
    exponents: Floats  # (choices, 2)


@dataclass(frozen=True, eq=False)
class Sweep:
    """All candidates on one energy axis.

    Parameters
    ----------
    energy_ev : ndarray, shape (energy,)
        Evenly spaced axis of the selected range, eV.
    candidates : tuple of Candidate
        What to try.
    exponents : tuple of float
        Grid of b (function 1) and of pairs b < d (function 2).
    intercept : bool
        Whether the line after the edge in function 2 has an intercept.
    model : ndarray, shape (energy,)
        Continuum, barn/eV/atom.
    band : PassBand
        Of the deconvolution.
    slope_weight, max_pre_slope : float
        C_w and T_slope, 1/eV of barn/eV.
    """

    energy_ev: Floats
    candidates: tuple[Candidate, ...]
    exponents: tuple[float, ...]
    intercept: bool
    model: Floats
    band: PassBand
    slope_weight: float
    max_pre_slope: float

    @cached_property
    def _relative_energy(self) -> Floats:
        return np.asarray(self.energy_ev / self.energy_ev.mean())

    @cached_property
    def _family(self) -> Floats:
        """Power laws and the constant, shape (exponents + 1, energy)."""
        powers = [self._relative_energy**-b for b in self.exponents]
        return np.stack([*powers, np.ones(self.energy_ev.size)])

    @cached_property
    def background_basis(self) -> Floats:
        """Orthonormal functions whose combinations are all backgrounds, shape (r, energy)."""
        return _orthonormal(self._family)

    def channels(self, window_ev: tuple[float, float]) -> slice:
        """Return the channels of a window."""
        # A hundredth of a channel for axes that were cropped or rounded.
        slack = 0.01 * self.band.dispersion_ev
        first, stop = np.searchsorted(self.energy_ev, (window_ev[0] - slack, window_ev[1] + slack))
        return slice(int(first), int(stop))

    @cached_property
    def _windows(self) -> dict[tuple[float, float], Floats]:
        """Orthonormal functions in which each window sees backgrounds and lines, shape (k, channels)."""
        line = self._relative_energy[None, :] - 1
        whole = np.concatenate([self._family, line])
        windows = {w for c in self.candidates for w in (c.pre_window_ev, c.post_window_ev)}
        return {w: _orthonormal(whole[:, self.channels(w)]) for w in windows}

    @cached_property
    def _fits(self) -> tuple[_Fit, ...]:
        return tuple(self._fit(candidate) for candidate in self.candidates)

    def _fit(self, candidate: Candidate) -> _Fit:
        in_basis = self._family @ self.background_basis.T
        n_powers = candidate.function
        choices = list(combinations(range(len(self.exponents)), n_powers))
        directions, backgrounds = [], []
        for choice in choices:
            members = [*choice, len(self.exponents)]
            design = self._design(candidate, members)
            left, size, right = np.linalg.svd(design, full_matrices=False)
            kept = size > _RANK_TOLERANCE * size[0]
            coefficients = (right.T / np.where(kept, size, np.inf)) @ left.T
            directions.append(left * kept)
            backgrounds.append(coefficients[: len(members)].T @ in_basis[members])
        exponents = np.array([[self.exponents[i] for i in (c * 2)[:2]] for c in choices])
        return _Fit(np.concatenate(directions, axis=1), design.shape[1], backgrounds, exponents)

    def _design(self, candidate: Candidate, members: list[int]) -> Floats:
        """Columns of the fit in the reduced coordinates of :meth:`_reduced`."""
        pre = self._windows[candidate.pre_window_ev] @ self._family[members, self.channels(candidate.pre_window_ev)].T
        if candidate.function == 1:
            return pre
        cut = self.channels(candidate.post_window_ev)
        basis = self._windows[candidate.post_window_ev]
        x = self._relative_energy[cut]
        line = np.stack([x - 1, np.ones_like(x)] if self.intercept else [x])
        post = basis @ np.concatenate([self._family[members, cut], line]).T
        pre = np.concatenate([pre, np.zeros((pre.shape[0], len(line)))], axis=1)
        return np.concatenate([pre, np.sqrt(candidate.weight) * post])

    def _reduced(self, candidate: Candidate, in_window: dict[tuple[float, float], Floats]) -> Floats:
        pre = in_window[candidate.pre_window_ev]
        if candidate.function == 1:
            return pre
        return np.concatenate([pre, np.sqrt(candidate.weight) * in_window[candidate.post_window_ev]], axis=1)

    @cached_property
    def _functionals(self) -> dict[tuple[float, float], tuple[Complexes, Complexes]]:
        """Components of slope and integral of each window, and the background basis, for :meth:`_apply`."""
        made: dict[tuple[float, float], tuple[Complexes, Complexes]] = {}
        basis = self.band.forward(self.background_basis)
        for window in self._windows:
            cut = self.channels(window)
            x = self.energy_ev[cut] - self.energy_ev[cut].mean()
            weights = np.zeros((2, self.energy_ev.size))
            weights[0, cut], weights[1, cut] = x / (x @ x), self.band.dispersion_ev
            components = self.band.functional(weights)
            made[window] = (components.conj(), components.conj()[:, None, :] * basis)
        return made

    def _measures(self, inverse: Complexes, spectra: Complexes) -> dict[tuple[float, float], tuple[Any, Any]]:
        """Slope and integral in each window of the deconvolved spectra (n, 2) and of each basis function (n, 2, r)."""
        deconvolved = _real_pairs(inverse * spectra)
        alone = _real_pairs(inverse)
        measured = {}
        for window, (of_spectra, of_basis) in self._functionals.items():
            n_basis = of_basis.shape[1]
            flat = of_basis.reshape(2 * n_basis, -1)
            measured[window] = (
                deconvolved @ _adjoint(of_spectra),
                (alone @ _adjoint(flat)).reshape(-1, 2, n_basis),
            )
        return measured

    def judge(self, counts: NDArray[Any], inverse: Complexes) -> Iterator[Judged]:
        """Fit and score all candidates.

        Parameters
        ----------
        counts : ndarray, shape (n, energy)
            Raw spectra of the selected range.
        inverse : ndarray of complex, shape (n, f)
            From :meth:`PassBand.inverse_filter`.

        Yields
        ------
        Judged
            One for each of :attr:`candidates`.
        """
        in_window = {w: counts[:, self.channels(w)].astype(float) @ basis.T for w, basis in self._windows.items()}
        measured = self._measures(inverse, self.band.forward(counts.astype(np.float32)))
        for number, (candidate, fit) in enumerate(zip(self.candidates, self._fits, strict=True)):
            reduced = self._reduced(candidate, in_window)
            background, choice = _best_fit(fit, reduced)
            slopes = {}
            for window in (candidate.pre_window_ev, candidate.post_window_ev):
                of_spectra, of_basis = measured[window]
                slopes[window] = of_spectra - np.einsum("nkr,nr->nk", of_basis, background)
            yield self._score(number, background, fit.exponents[choice], slopes)

    def _score(
        self, number: int, background: Floats, exponents: Floats, slopes: dict[tuple[float, float], Floats]
    ) -> Judged:
        candidate = self.candidates[number]
        cut = self.channels(candidate.post_window_ev)
        x = self.energy_ev[cut] - self.energy_ev[cut].mean()
        model_slope = x @ self.model[cut] / (x @ x)
        model_integral = self.model[cut].sum() * self.band.dispersion_ev
        post_slope, integral = slopes[candidate.post_window_ev].T
        scale = np.divide(model_integral, integral, out=np.full(integral.shape, np.nan), where=integral > 0)
        pre, post = slopes[candidate.pre_window_ev][:, 0] * scale, post_slope * scale
        score = np.abs(pre) + self.slope_weight * np.abs(post - model_slope)
        score = np.where(np.abs(pre) <= self.max_pre_slope, score, np.nan)
        return Judged(number, *(np.asarray(v, np.float32) for v in (background, exponents, scale, pre, post, score)))

    def subtracted(self, counts: NDArray[Any], background: Floats32, inverse: Complexes) -> Floats32:
        """Return deconvolved, filtered spectra (n, energy) without the background of :class:`Judged`."""
        without = counts.astype(np.float32) - background @ self.background_basis.astype(np.float32)
        return np.asarray(self.band.backward(self.band.forward(without) * inverse), dtype=np.float32)


def _orthonormal(rows: Floats) -> Floats:
    _, size, directions = np.linalg.svd(rows, full_matrices=False)
    return np.asarray(directions[size > _RANK_TOLERANCE * size[0]])


def _best_fit(fit: _Fit, reduced: Floats) -> tuple[Floats, NDArray[np.intp]]:
    """Coefficients (n, r) of the background with the exponents that leave the smallest residual, and which they are."""
    n_choices = len(fit.backgrounds)
    explained = ((reduced @ fit.directions) ** 2).reshape(-1, n_choices, fit.n_parameters).sum(axis=2)
    choice = explained.argmax(axis=1)
    background = np.empty((reduced.shape[0], fit.backgrounds[0].shape[1]))
    for i in np.unique(choice):
        here = choice == i
        background[here] = reduced[here] @ fit.backgrounds[i]
    return background, choice


def _real_pairs(components: Complexes) -> Floats32:
    return np.concatenate([components.real, components.imag], axis=-1).astype(np.float32)


def _adjoint(components: Complexes) -> Floats32:
    """Matrix (2f, m) for which Re sum(components * z) is the product of `_real_pairs(z)` with it."""
    return np.concatenate([components.real, -components.imag], axis=-1).T.astype(np.float32)
