"""How much composition varies at one depth, the noise's share taken out, and how that decays inward."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from .._typing import Floats
from .._validation import check_broadcast, check_count, check_option, checked, fail
from ..containers import Tomogram
from ._shell_sums import ShellSums, independent_voxels, shell_sums
from .shells import Shells

LEVEL = 0.95
"""Of the interval of the decay length, and of the band of the null."""


@dataclass(frozen=True, eq=False)
class Inhomogeneity:
    """Spread of a quantity at each depth; arrays have one value a shell, shape (n_shells,).

    Parameters
    ----------
    depth_nm : ndarray
        Mean depth of the voxels of each shell, nm.
    sd : ndarray
        Standard deviation without the share of the noise, in the unit of the values. 0 where `variance` is negative.
    variance : ndarray
        Its square before the root is drawn: signed, so that means over particles are not biased. Average this.
    total_sd, noise_sd : ndarray
        Standard deviation of the voxels as they are, and the share of it that noise makes.
    standard_error : ndarray
        Of `variance`, if the values of a shell were normally distributed.
    n : ndarray of int
        Voxels with a value.
    decay_nm : float
        Length over which the spread falls to 1/e; infinity if it does not fall, NaN if there is none above the noise.
    decay_interval_nm : (float, float)
        95 % interval of it.
    """

    depth_nm: Floats
    sd: Floats
    variance: Floats
    total_sd: Floats
    noise_sd: Floats
    standard_error: Floats
    n: NDArray[np.int64]
    decay_nm: float
    decay_interval_nm: tuple[float, float]


@checked
def inhomogeneity(
    values: Tomogram | ArrayLike,
    shells: Shells,
    *,
    noise_sd: float | ArrayLike = 0.0,
    correlation_length_nm: float = 0.0,
    error_draws: ArrayLike | None = None,
    estimate: str = "unbiased",
    voxel_size_nm: float | None = None,
    depth_nm: ArrayLike | None = None,
    min_voxels: int = 2,
) -> Inhomogeneity:
    r"""Return the standard deviation within each shell, without the share of the noise, and its decay length.

    .. math:: s_k^2 = \frac{1}{n_k} \sum_{i \in k} (c_i - \bar c_k)^2 - \sigma_k^2 (1 - 1 / n_{\mathrm{ind},k})

    The second term is what noise adds on average: all of it but what moves the mean of the shell. Correlated noise adds
    less to small shells, because it moves their mean: it makes a decay with depth by itself if that is left out.

    Parameters
    ----------
    values : Tomogram or array_like, shape (z, y, x)
        Such as at% of a metal. NaN voxels do not count.
    shells : ndarray of int, shape (z, y, x)
        Number of the shell, 0 outside, from `shells` or `depth_shells`.
    noise_sd : float or array_like, default 0
        Standard error of every voxel, one number or a volume. With 0, `sd` is the paper's inhomogeneity.
    correlation_length_nm : float, default 0
        How far the noise is correlated, see `independent_voxels`.
    error_draws : array_like, shape (draw, z, y, x) or (draw, voxel of the particle), optional
        Draws of the error, instead of `noise_sd`: their spread within shells is what is taken out.
    estimate : {"unbiased", "posterior mean"}
        What the volume is. A posterior mean, such as the ``"fractions"`` of `fusion.reconstruct`, holds less than the
        truth and not more: the spread of its error is then *added*.
    voxel_size_nm, depth_nm : optional
        As for `depth_profile`.
    min_voxels : int, default 2
        Shells with fewer voxels become NaN.

    Returns
    -------
    Inhomogeneity

    Raises
    ------
    ValueError
        If the shapes differ, the noise is negative, or `estimate` is no such thing.

    Notes
    -----
    The decay length comes from :math:`s^2(d) = a^2 \exp(-2 d / L)`, fitted to `variance` by least squares weighted with
    the errors that follow from the fitted curve; the interval is where chi² rises by 3.84 above its minimum.

    Examples
    --------
    >>> from tritomo_helpers.particles import shells
    >>> cube = shells(np.ones((12, 12, 12), bool))
    >>> sign = np.where(np.indices(cube.shape).sum(axis=0) % 2, 1.0, -1.0)
    >>> inhomogeneity(3.0 * sign, cube).sd.round(3)
    array([3., 3., 3., 3., 3., 3.])
    >>> inhomogeneity(np.exp(-cube / 4) * sign, cube, voxel_size_nm=5.0).decay_nm
    20.0
    """
    check_count(min_voxels, "min_voxels")
    check_option(estimate, "estimate", ("unbiased", "posterior mean"))
    sums = shell_sums(values, shells, voxel_size_nm=voxel_size_nm, depth_nm=depth_nm)
    worth = _worth(sums, correlation_length_nm)
    total = sums.variance(sums.values)
    noise = _noise_variance(sums, worth, noise_sd=noise_sd, error_draws=error_draws)
    variance = total - noise if estimate == "unbiased" else total + noise
    few = sums.n < min_voxels
    # A variance from n independent normal values scatters by the square root of 2 / (n - 1) of itself; squares are
    # correlated over 1 / √2 of the length.
    of_squares = _worth(sums, correlation_length_nm / np.sqrt(2))
    relative = np.sqrt(2 / np.maximum(of_squares - 1, 0.5))
    columns = [sums.depth_nm, variance, total, noise, np.maximum(total, noise) * relative]
    depth, variance, total, noise, scatter = (np.where(few, np.nan, column) for column in columns)
    whole = _worth(sums.as_one_shell(), correlation_length_nm / np.sqrt(2))[0]
    shared = np.sqrt(max(np.nansum(of_squares) / whole, 1.0))
    decay, interval = _decay(depth, variance, noise=noise, relative_error=relative, shared=shared)
    sd = np.sqrt(np.maximum(variance, 0))
    return Inhomogeneity(depth, sd, variance, np.sqrt(total), np.sqrt(noise), scatter, sums.n, decay, interval)


def _worth(sums: ShellSums, correlation_length_nm: float) -> Floats:
    measured = np.where(sums.inside, sums.shells, 0)
    worth = np.full(sums.n.size, np.nan)
    some = independent_voxels(measured, correlation_length_nm=correlation_length_nm, voxel_size_nm=sums.voxel_size_nm)
    worth[: some.size] = some
    return worth


def _noise_variance(
    sums: ShellSums, worth: Floats, *, noise_sd: float | ArrayLike, error_draws: ArrayLike | None
) -> Floats:
    """Return what noise adds on average to the variance within each shell."""
    if error_draws is not None:
        return np.asarray(np.mean([sums.variance(draw) for draw in sums.draws(error_draws)], axis=0))
    noise = check_broadcast(noise_sd, "noise_sd", sums.shells.shape)
    if np.any(noise < 0):
        raise fail("noise_sd", expected="zero or above", got=noise.min(), remedy="give standard errors of the voxels")
    variance = sums.mean(noise[sums.inside] ** 2)
    return np.asarray(variance * (1 - 1 / worth))


def _decay(
    depth_nm: Floats, variance: Floats, *, noise: Floats, relative_error: Floats, shared: float
) -> tuple[float, tuple[float, float]]:
    """Fit ``a² exp(-2 d / L)`` and return L with its interval, by chi² on a grid of rates with the best a² for each.

    The error of each variance comes from the fitted curve: from its own value, shells that happen to scatter little
    would count too much. Neighboring shells that hold one fluctuation do not count twice: `shared` is the root of how
    many independent values the shells have in all, over how many the whole body has.
    """
    use = np.isfinite(variance) & (relative_error < 1)
    depth, v, noise, relative = depth_nm[use], variance[use], noise[use], relative_error[use]
    nothing = float("nan"), (float("nan"), float("nan"))
    if depth.size < 2 or np.ptp(depth) == 0 or not np.any(v):
        return nothing
    rates = np.concatenate([[0.0], np.geomspace(0.02, 1000, 2000) / np.ptp(depth)])  # 1 / L
    expected = np.full(v.size, max(float(v.mean()), float(np.abs(v).max()) / 10))
    for _ in range(4):
        weight = (shared * relative * (expected + noise)) ** -2.0
        chi2, size = _chi2(rates, depth, v, weight)
        best = int(np.argmin(chi2))
        floor = float(size[best]) / 1000 + float(np.abs(v).max()) * 1e-6
        expected = np.maximum(size[best] * np.exp(-2 * rates[best] * (depth - depth.min())), floor)
    rise = special.chdtri(1, 1 - LEVEL)
    if size[best] <= 0 or v**2 @ weight - chi2[best] < rise:
        return nothing
    allowed = rates[chi2 <= chi2[best] + rise]
    fine = np.linspace(rates[max(best - 1, 0)], rates[min(best + 1, rates.size - 1)], 2001)
    rate = float(fine[np.argmin(_chi2(fine, depth, v, weight)[0])])
    return _length(rate), (_length(float(allowed.max())), _length(float(allowed.min())))


def _chi2(rates: Floats, depth: Floats, v: Floats, weight: Floats) -> tuple[Floats, Floats]:
    curves = np.exp(-2 * np.multiply.outer(rates, depth - depth.min()))
    size = np.maximum((curves * weight) @ v / (curves**2 @ weight), 0)
    return np.asarray(((v - size[:, None] * curves) ** 2) @ weight), np.asarray(size)


def _length(rate: float) -> float:
    return float("inf") if rate == 0 else round(1 / rate, 3)


@dataclass(frozen=True, eq=False)
class NullBand:
    """What a statistic of each shell is where there is nothing to find; arrays have shape (n_shells,).

    Parameters
    ----------
    depth_nm : ndarray
        nm.
    mean, low, high : ndarray
        Mean over the draws of the null, and the ends of the middle 95 % of them.
    n_draws : int
    """

    depth_nm: Floats
    mean: Floats
    low: Floats
    high: Floats
    n_draws: int


@checked
def null_band(
    draws: Iterable[Tomogram | ArrayLike],
    shells: Shells,
    *,
    noise_sd: float | ArrayLike = 0.0,
    correlation_length_nm: float = 0.0,
    voxel_size_nm: float | None = None,
) -> NullBand:
    """Return the inhomogeneity that the null shows at each depth: the grey band beside a measured one.

    Noise is largest at the rim of a particle and its few core voxels hold few independent values, so that a null by
    itself decays with depth, more in a small particle.

    Parameters
    ----------
    draws : iterable of Tomogram or array_like, shape (z, y, x)
        Voxels of a homogeneous particle, reconstructed from draws of the noise as the measured one was.
    shells : ndarray of int, shape (z, y, x)
        Number of the shell, 0 outside.
    noise_sd, correlation_length_nm, voxel_size_nm : optional
        As given to `inhomogeneity` for the measured volume.

    Returns
    -------
    NullBand

    Raises
    ------
    ValueError
        If there are fewer than two draws.

    Examples
    --------
    >>> from tritomo_helpers.particles import shells
    >>> cube, rng = shells(np.ones((12, 12, 12), bool)), np.random.default_rng(0)
    >>> band = null_band((rng.normal(0, 2, cube.shape) for _ in range(20)), cube)
    >>> bool(np.all((band.low[:4] < 2.1) & (band.high[:4] > 1.9)))
    True
    """
    spreads = [
        inhomogeneity(
            draw,
            shells,
            noise_sd=noise_sd,
            correlation_length_nm=correlation_length_nm,
            voxel_size_nm=voxel_size_nm,
            min_voxels=1,
        )
        for draw in draws
    ]
    if len(spreads) < 2:
        raise fail("draws", expected="two or more", got=len(spreads), remedy="draw the null more often, 100 times")
    sd = np.array([spread.sd for spread in spreads])
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(sd, [tail, 1 - tail], axis=0)
    return NullBand(spreads[0].depth_nm, sd.mean(axis=0), low, high, len(spreads))
