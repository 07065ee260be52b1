"""How the references differ from the data: shifts, width, L3/L2 and shape, fitted to pooled spectra.

The amplitudes are linear and are eliminated at every step (variable projection), so that only the distortion is
searched, by damped Gauss-Newton steps on all thickness bins together.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._typing import Floats
from ..constants import SPECIES_ELEMENT
from .basis import MIN_WIDTH_EV2, Basis, Distortion

ION_SHIFT_PRIOR_EV = 0.1
"""Standard deviation of a state's own shift. Without it a state that is nearly absent runs away."""
_NI_SHIFT_PRIOR_EV = 0.5
_COMMON_SHIFT_PRIOR_EV = 1.0
_WIDTH_PRIOR_EV2 = 0.3
_LOG_RATIO_PRIOR = 0.3
# A flat prior on the mix; its interval is enforced.
_MIX_PRIOR = 10.0
_MAX_STEPS = 20
# Lines of a state kept: those of one Jacobian, and some.
_REMEMBERED = 60


@dataclass(frozen=True, eq=False)
class Pooled:
    """Mean spectra of thickness bins over all tilts.

    Parameters
    ----------
    spectra : ndarray, shape (bin, energy)
        Mean core-loss counts in the fit window.
    variances : ndarray, shape (bin, energy)
        Of these means.
    kernels : ndarray, shape (bin, energy)
        Mean low-loss spectra as shares of the vacuum's electrons.
    n_pixels : ndarray, shape (bin,)
    """

    spectra: Floats
    variances: Floats
    kernels: Floats
    n_pixels: NDArray[np.int64]


class PooledFit(NamedTuple):
    """Amplitudes of the pooled spectra.

    Parameters
    ----------
    amplitudes : ndarray, shape (bin, column)
    covariances : ndarray, shape (bin, column, column)
    residuals : ndarray, shape (bin, energy)
        In standard deviations.
    """

    amplitudes: Floats
    covariances: Floats
    residuals: Floats

    @property
    def chi2(self) -> float:
        """Chi squared per degree of freedom."""
        n_bins, n_columns = self.amplitudes.shape
        return float((self.residuals**2).sum() / (self.residuals.size - n_bins * n_columns))


class _Parameter(NamedTuple):
    kind: str
    of: str
    prior: float
    step: float
    low: float
    high: float


def orthonormal(columns: Floats) -> tuple[Floats, Floats]:
    """Return Q' and R⁻¹ of the QR decomposition of columns', by two rounds of Cholesky: faster than reflections.

    Parameters
    ----------
    columns : ndarray, shape (column, energy)
        Linearly independent.

    Returns
    -------
    basis : ndarray, shape (column, energy)
        Orthonormal rows.
    inverse : ndarray, shape (column, column)
        columns' @ inverse = basis'.
    """
    basis = columns / np.linalg.norm(columns, axis=1, keepdims=True)
    inverse = np.diag(1 / np.linalg.norm(columns, axis=1))
    for _ in range(2):
        step = np.linalg.inv(np.linalg.cholesky(basis @ basis.T))
        basis, inverse = step @ basis, inverse @ step.T
    return basis, inverse


class PooledSpectra:
    """Pooled spectra, ready for many distortions: what does not depend on them is computed once.

    Smooth columns are projected out of the spectra, so that a step of the calibration only has to fit the white lines;
    and the lines of a state are made again only when one of its own numbers changed.
    """

    def __init__(self, pooled: Pooled, basis: Basis) -> None:
        self.pooled, self.basis = pooled, basis
        self.sigma = np.sqrt(pooled.variances)
        self.smooth = basis.smooth_columns(pooled.kernels)
        self._transfer = basis.transfer(pooled.kernels)
        self._lines: dict[Hashable, Floats] = {}

    @cached_property
    def _rows(self) -> Floats:
        return np.stack([orthonormal(columns)[0] for columns in self.smooth / self.sigma[:, None]])

    @cached_property
    def _spectra(self) -> Floats:
        return self._without_smooth((self.pooled.spectra / self.sigma)[:, None])[:, 0]

    def _without_smooth(self, columns: Floats) -> Floats:
        return np.asarray(columns - (columns @ self._rows.transpose(0, 2, 1)) @ self._rows)

    def _white_lines(self, index: int, distortion: Distortion) -> Floats:
        """Lines of one state over their errors, without what the smooth columns explain: (bin, energy)."""
        state, element = self.basis.states[index], SPECIES_ELEMENT[self.basis.states[index]]
        of_element = (distortion.width_ev2, distortion.log_l3_l2, distortion.mix)
        key = (index, distortion.shift_ev.get(state), *(numbers.get(element) for numbers in of_element))
        if key not in self._lines:
            if len(self._lines) > _REMEMBERED:
                self._lines.clear()
            columns = self.basis.white_line_column(self._transfer, index, distortion) / self.sigma
            self._lines[key] = self._without_smooth(columns[:, None])[:, 0]
        return self._lines[key]

    def residuals(self, distortion: Distortion) -> Floats:
        """Return what the best amplitudes leave of the spectra, in standard errors, shape (bin, energy)."""
        white = np.stack([self._white_lines(i, distortion) for i in range(len(self.basis.states))], axis=1)
        gram = white @ white.transpose(0, 2, 1)
        amplitudes = np.linalg.solve(gram, white @ self._spectra[..., None])
        return np.asarray(self._spectra - (amplitudes.transpose(0, 2, 1) @ white)[:, 0])

    def fit(self, distortion: Distortion) -> PooledFit:
        """Solve all amplitudes of every bin by weighted least squares."""
        white = self.basis.white_line_columns(self.pooled.kernels, distortion)
        columns = np.concatenate([white, self.smooth], axis=1)
        amplitudes, covariances, residuals = [], [], []
        for column, spectrum, sigma in zip(columns, self.pooled.spectra, self.sigma, strict=True):
            rows, inverse = orthonormal(column / sigma)
            projected = rows @ (spectrum / sigma)
            amplitudes.append(inverse @ projected)
            covariances.append(inverse @ inverse.T)
            residuals.append(spectrum / sigma - projected @ rows)
        return PooledFit(np.stack(amplitudes), np.stack(covariances), np.stack(residuals))


class Calibration(NamedTuple):
    """What describes the pooled spectra best, and how well that is known.

    Parameters
    ----------
    distortion : Distortion
    fit : PooledFit
        With this distortion.
    deviations : list of Distortion
        One standard error away, in independent directions: what changes under each adds up in squares.
    """

    distortion: Distortion
    fit: PooledFit
    deviations: list[Distortion]


def calibrate(spectra: PooledSpectra, *, fixed_mix: float | None = None) -> Calibration:
    """Find the distortion that describes the pooled spectra best.

    Parameters
    ----------
    spectra : PooledSpectra
    fixed_mix : float, optional
        Share of the second reference set; free between 0 and 1 by default, where there is a second set.

    Returns
    -------
    Calibration
    """
    basis = spectra.basis
    parameters = _parameters(basis, free_mix=fixed_mix is None)
    priors = np.array([p.prior for p in parameters])

    def residuals_of(values: Floats) -> Floats:
        misfit = spectra.residuals(_distortion(basis, parameters, values, fixed_mix))
        return np.concatenate([misfit.ravel(), values / priors])

    low, high = (np.array([getattr(p, end) for p in parameters]) for end in ("low", "high"))
    # From the middle a mix can move to either side; all else starts undistorted.
    values = np.array([0.5 if p.kind == "mix" else 0.0 for p in parameters])
    residuals = residuals_of(values)
    damping = 1e-3
    for _ in range(_MAX_STEPS):
        jacobian = np.stack(
            [
                (residuals_of(values + p.step * unit) - residuals) / p.step
                for p, unit in zip(parameters, np.eye(values.size), strict=True)
            ],
            axis=1,
        )
        gradient, curvature = jacobian.T @ residuals, jacobian.T @ jacobian
        # A parameter at its bound that would leave it stays there, or it would hold the others back.
        free = ~(((values <= low) & (gradient > 0)) | ((values >= high) & (gradient < 0)))
        gain, cost = 0.0, float(residuals @ residuals)
        while damping < 1e6:
            lhs = curvature[np.ix_(free, free)] + damping * np.diag(np.diag(curvature)[free])
            trial = values.copy()
            trial[free] -= np.linalg.solve(lhs, gradient[free])
            trial = np.clip(trial, low, high)
            new_residuals = residuals_of(trial)
            gain = float(cost - new_residuals @ new_residuals)
            if gain > 0:
                values, residuals, damping = trial, new_residuals, damping / 5
                break
            damping *= 5
        # Half a unit of chi squared moves no parameter by more than a fraction of its standard error.
        if gain < 0.05:
            break
    distortion = _distortion(basis, parameters, values, fixed_mix)
    # A mix at its end can only go one way, so its direction counts there too: inward, cut at the bound.
    steps = np.linalg.cholesky(np.linalg.inv(curvature)).T  # the parameter of each row leads it, with a positive step
    steps[values >= high] *= -1
    deviations = [_distortion(basis, parameters, np.clip(values + step, low, high), fixed_mix) for step in steps]
    return Calibration(distortion, spectra.fit(distortion), deviations)


def _parameters(basis: Basis, *, free_mix: bool) -> list[_Parameter]:
    result = [_Parameter("shift", "", _COMMON_SHIFT_PRIOR_EV, 0.02, -3.0, 3.0)]
    for state in basis.states:
        prior = _NI_SHIFT_PRIOR_EV if state.startswith("Ni") else ION_SHIFT_PRIOR_EV
        result.append(_Parameter("ion", state, prior, 0.02, -2.0, 2.0))
    for element in basis.elements:
        result.append(_Parameter("width", element, _WIDTH_PRIOR_EV2, 0.02, MIN_WIDTH_EV2, 4.0))
        result.append(_Parameter("ratio", element, _LOG_RATIO_PRIOR, 0.02, -1.0, 1.0))
        if free_mix and basis.n_sets[element] == 2:
            result.append(_Parameter("mix", element, _MIX_PRIOR, 0.02, 0.0, 1.0))
    return result


def _distortion(basis: Basis, parameters: list[_Parameter], values: Floats, fixed_mix: float | None) -> Distortion:
    table = {(p.kind, p.of): float(value) for p, value in zip(parameters, values, strict=True)}
    mixed = [element for element in basis.elements if basis.n_sets[element] == 2]
    return Distortion(
        {state: table["shift", ""] + table["ion", state] for state in basis.states},
        {element: table["width", element] for element in basis.elements},
        {element: table["ratio", element] for element in basis.elements},
        {element: table.get(("mix", element), fixed_mix or 0.0) for element in mixed},
    )
