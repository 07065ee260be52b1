r"""What is assumed about how fractions vary in space: a Gaussian process on the coordinates of their departure.

.. math:: \langle c_k c_l' \rangle = \delta_{kl}\, m^2 + W_{kl} \Big[s_d^2\, e^{-|d - d'| / l_d}
          + e^{-(d + d') / L} \sum_j s_j^2\, e^{-r^2 / 2 l_j^2}\Big]

with the depth d below the surface, the distance r, and W the covariance of sum-zero departures from independent
states of the given relative standard deviations (the unit matrix when they are equal). There are two lengths, that of
slow variations and a finer one, such as that of small clusters. The Gaussian of each is a product of three
one-dimensional ones, so it is applied as three small matrices, exactly and without padding.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ..._typing import Floats, Floats32
from ..._validation import check_positive, check_shape, checked, fail
from .data import Operator


@checked
@dataclass(frozen=True)
class Prior:
    """Sizes and lengths of the expected variations.

    Parameters
    ----------
    sd : float, default 0
        Standard deviation of a fraction's local variation at the surface, m. 0 leaves it out.
    length_nm : float, default 14
        Length l of the Gaussian correlation, nm.
    fine_sd : float, default 0
        Standard deviation at the surface of a finer local variation beside it. 0 leaves it out.
    fine_length_nm : float, default 4
        Length of its Gaussian correlation, nm.
    decay_nm : float, default inf
        Depth L over which both local variations decay, nm.
    depth_sd : float, default 0
        Standard deviation of the variation with depth alone. 0 leaves it out.
    depth_length_nm : float, default 40
        Length of its exponential correlation, nm.
    hat_nm : float, default 9
        Spacing of the points between which it is linear, nm.
    mean_sd : float, default 0.05
        Standard deviation of the mean about the mean given; never 0 and not much larger, or float32 fails.
    state_sds : tuple of float, optional
        Relative standard deviation of each state; a state of 0 keeps its mean everywhere.

    Raises
    ------
    ValueError
        If a length is not positive or a standard deviation is negative.

    Examples
    --------
    >>> Prior(sd=0.02).is_constant, Prior().is_constant
    (False, True)
    """

    sd: float = 0.0
    length_nm: float = 14.0
    fine_sd: float = 0.0
    fine_length_nm: float = 4.0
    decay_nm: float = float("inf")
    depth_sd: float = 0.0
    depth_length_nm: float = 40.0
    hat_nm: float = 9.0
    mean_sd: float = 0.05
    state_sds: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("sd", "fine_sd", "depth_sd"):
            check_positive(getattr(self, name), name, zero_ok=True)
        for name in ("length_nm", "fine_length_nm", "depth_length_nm", "hat_nm", "mean_sd"):
            check_positive(getattr(self, name), name)
        if not self.decay_nm > 0:
            raise fail("decay_nm", expected="above zero, or inf", got=self.decay_nm, remedy="give a depth in nm")
        sds = self.state_sds
        if sds is not None and (min(sds) < 0 or sum(sd > 0 for sd in sds) < 2):
            raise fail(
                "state_sds",
                expected="values of zero or above, at least two above",
                got=sds,
                remedy="fractions sum to one, so one cannot vary alone",
            )

    @property
    def is_constant(self) -> bool:
        """Whether no variation is assumed."""
        return self.sd == 0 and self.fine_sd == 0 and self.depth_sd == 0

    def constant(self) -> "Prior":
        """Return the prior of the constant map."""
        return replace(self, sd=0.0, fine_sd=0.0, depth_sd=0.0)


#: Settings, and how much they count beside others.
WeightedPrior = tuple[Prior, float]


def drawn_in_turn(priors: Sequence[WeightedPrior], n_draws: int) -> list[Prior]:
    """Return a prior for every draw, each as often as its weight says.

    Examples
    --------
    >>> a, b = Prior(sd=0.01), Prior(sd=0.02)
    >>> [prior.sd for prior in drawn_in_turn([(a, 0.7), (b, 0.3)], 4)]
    [0.01, 0.01, 0.01, 0.02]
    """
    ends = np.cumsum([weight for _, weight in priors])
    at = (np.arange(n_draws) + 0.5) / n_draws * ends[-1]
    return [priors[int(i)][0] for i in np.searchsorted(ends, at)]


def sum_zero_covariance(state_sds: Floats) -> Floats:
    """Covariance of independent states given that they sum to zero, shape (state, state).

    Examples
    --------
    >>> sum_zero_covariance(np.array([1.0, 1.0, 0.0])).tolist()
    [[0.5, -0.5, 0.0], [-0.5, 0.5, 0.0], [0.0, 0.0, 0.0]]
    """
    variances = np.square(state_sds)
    return np.asarray(np.diag(variances) - np.outer(variances, variances) / variances.sum())


class PriorCovariance:
    """The covariance as an operator on coordinates (z, x, mode, y) in the box of an `Operator`."""

    def __init__(self, prior: Prior, operator: Operator) -> None:
        self.prior, self.shape = prior, operator.shape
        self.voxel_nm = operator.data.voxel_size_nm
        n_states = len(operator.data.mean_fractions)
        sds = np.ones(n_states) if prior.state_sds is None else np.asarray(prior.state_sds, dtype=np.float64)
        check_shape(sds, "state_sds", (n_states,), remedy="give one per state")
        basis = operator.basis.astype(np.float64)
        self.mixing = (basis.T @ sum_zero_covariance(sds) @ basis).astype(np.float32)
        data = operator.data
        # The last coordinate is the error of the density, where its length is given: no fraction, and not of mean zero.
        self.of_density = len(self.mixing) - 1 if data.density_error_length_nm is not None else None
        self.operator = operator
        self.depth_nm = operator.depth_nm

    @cached_property
    def decay(self) -> Floats32:
        """Amplitude of local variations over that at the surface, shape (z, x, 1, y)."""
        return np.asarray(np.exp(-self.depth_nm / self.prior.decay_nm)[:, :, None, :], dtype=np.float32)

    @cached_property
    def local(self) -> list[tuple[float, list[Floats]]]:
        """Standard deviation at the surface of each local variation, and its correlation along z, x and y."""
        prior = self.prior
        scales = ((prior.sd, prior.length_nm), (prior.fine_sd, prior.fine_length_nm))
        return [(sd, self._correlations(length)) for sd, length in scales if sd]

    def _correlations(self, length_nm: float) -> list[Floats]:
        """Gaussian correlation along z, x and y, there between means over the slices of a row."""
        slices = self.operator.data.slices
        sides = [_gaussian(n, length_nm / self.voxel_nm) for n in (*self.shape[:2], self.shape[2] * slices)]
        n_y = self.shape[2]
        return [*sides[:2], sides[2].reshape(n_y, slices, n_y, slices).mean(axis=(1, 3))]

    @cached_property
    def kernels(self) -> list[list[Floats32]]:
        """The correlations in float32, the first of each with the variance in it."""
        return [
            [(f * k).astype(np.float32) for f, k in zip((sd**2, 1, 1), along, strict=True)] for sd, along in self.local
        ]

    @cached_property
    def hats(self) -> Any:
        """Linear interpolation in depth, sparse (voxel, hat): each row sums to 1."""
        at = self.depth_nm.ravel() / self.prior.hat_nm
        below = np.floor(at).astype(np.int64)
        share = (at - below).astype(np.float32)
        voxels = np.arange(at.size)
        index = np.concatenate([voxels, voxels]), np.concatenate([below, below + 1])
        return sparse.coo_array((np.concatenate([1 - share, share]), index), shape=(at.size, below.max() + 2)).tocsr()

    @cached_property
    def depth_covariance(self) -> Floats:
        """Covariance of the values at the hats."""
        depth = np.arange(self.hats.shape[1]) * self.prior.hat_nm
        apart = np.abs(np.subtract.outer(depth, depth))
        return np.asarray(self.prior.depth_sd**2 * np.exp(-apart / self.prior.depth_length_nm))

    def apply(self, modes: Floats32) -> Floats32:
        """Multiply coordinates by their prior covariance."""
        total = modes.sum(axis=(0, 1, 3), dtype=np.float64)
        mean = np.asarray(self.prior.mean_sd**2 * self._is_fraction * total, dtype=np.float32)[:, None]
        if self.prior.is_constant and self.of_density is None:
            return np.broadcast_to(mean, modes.shape)
        varied = np.zeros_like(modes)
        if self.kernels:
            decayed = self.decay * modes
            varied += self.decay * sum(_along_axes(kernels, decayed) for kernels in self.kernels)
        if self.prior.depth_sd:
            columns = modes.transpose(0, 1, 3, 2).reshape(-1, modes.shape[2])
            at_hats = self.depth_covariance @ (self.hats.T @ columns)
            varied += self._from_hats(at_hats)
        result = np.asarray(mean + np.matmul(self.mixing, varied))
        if self.of_density is not None:
            own, (sd, along) = slice(self.of_density, None), self.density_error
            result[:, :, own] = sd * _along_axes([kernel.astype(np.float32) for kernel in along], sd * modes[:, :, own])
        return result

    @cached_property
    def _is_fraction(self) -> Floats:
        return np.array([mode != self.of_density for mode in range(len(self.mixing))], dtype=np.float64)

    @cached_property
    def density_error(self) -> tuple[Floats32, list[Floats]]:
        """Standard deviation of the density's relative error, (z, x, 1, y), and its correlation along z, x and y."""
        data = self.operator.data
        sd = self.operator.cut(np.asarray(data.density_error))[:, :, None, :]
        return sd, self._correlations(data.density_error_length_nm or self.voxel_nm)

    def _from_hats(self, at_hats: NDArray[Any]) -> Floats32:
        columns = self.hats @ at_hats.astype(np.float32)
        return np.asarray(columns.reshape(*self.shape, -1).transpose(0, 1, 3, 2), dtype=np.float32)

    def sample(self, rng: np.random.Generator) -> Floats32:
        """Draw coordinates (z, x, mode, y)."""
        n_modes = len(self.mixing)
        drawn = np.zeros((*self.shape[:2], n_modes, self.shape[2]), dtype=np.float32)
        for sd, correlations in self.local:
            white = np.float32(sd) * np.asarray(rng.standard_normal(drawn.shape), dtype=np.float32)
            drawn += self.decay * _along_axes([_root(kernel) for kernel in correlations], white)
        if self.prior.depth_sd:
            drawn += self._from_hats(_root(self.depth_covariance) @ rng.standard_normal((self.hats.shape[1], n_modes)))
        mean = self.prior.mean_sd * self._is_fraction * rng.standard_normal(n_modes)
        result = np.asarray(np.matmul(_root(self.mixing), drawn) + mean[:, None], dtype=np.float32)
        if self.of_density is not None:
            error, along = self.density_error
            white = np.asarray(rng.standard_normal(error.shape), dtype=np.float32)
            result[:, :, self.of_density :] = error * _along_axes([_root(kernel) for kernel in along], white)
        return result

    def state_variance(self, basis: Floats32) -> Floats32:
        """Prior variance of every fraction, shape (z, x, state, y)."""
        local = np.float32(sum(sd**2 for sd, _ in self.local)) * np.square(self.decay[:, :, 0])
        if self.prior.depth_sd:
            at_depth = np.asarray((self.hats @ self.depth_covariance) * self.hats.toarray()).sum(axis=1)
            local = local + at_depth.reshape(self.shape)
        varied = np.diag(basis @ self.mixing @ basis.T)[:, None]
        mean = self.prior.mean_sd**2 * np.square(basis).sum(axis=1)[:, None]
        return np.asarray(mean + varied * local[:, :, None], dtype=np.float32)


def _gaussian(n: int, length_px: float) -> Floats:
    """Gaussian correlation of n voxels in a row."""
    return np.exp(-0.5 * np.square(np.subtract.outer(np.arange(n), np.arange(n)) / length_px))


def _along_axes(kernels: list[Floats32], cells: Floats32) -> Floats32:
    """Multiply cells (z, x, mode, y) by one symmetric matrix along each of z, x and y."""
    n_z, n_x, n_modes, n_y = cells.shape
    along_y = cells.reshape(-1, n_y) @ kernels[2]
    along_x = np.matmul(kernels[1], along_y.reshape(n_z, n_x, n_modes * n_y))
    return np.asarray(kernels[0] @ along_x.reshape(n_z, -1)).reshape(cells.shape)


def _root(covariance: NDArray[Any]) -> Floats32:
    """Symmetric square root."""
    values, vectors = np.linalg.eigh(covariance.astype(np.float64))
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T, dtype=np.float32)
