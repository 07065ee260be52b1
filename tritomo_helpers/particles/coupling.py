"""Whether valence is lower where a metal is segregated, told apart from both changing with depth."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from .._typing import Floats
from .._validation import check_shape, checked, fail
from ..containers import Tomogram
from ._shell_sums import ShellSums, independent_voxels, shell_sums
from .shells import Shells
from .verdicts import p_value


@dataclass(frozen=True, eq=False)
class Coupling:
    """How two quantities go together in one particle.

    Parameters
    ----------
    correlation : float
        Pearson's, of the deviations of all voxels from the means of their shells: what depth does is out of it.
    interval : (float, float)
        95 % interval of it.
    slope : float
        Change of the second quantity per unit of the first, at equal depth.
    across_shells : float
        Correlation over shells of the first quantity's standard deviation with the second's mean: what the paper's
        figures compare. Both fall or rise with depth, so that this is near 1 or -1 also where nothing is coupled.
    n_independent : float
        How many independent voxels the interval counts with.
    null : ndarray, shape (draw,)
        The correlation in draws of the null; empty if none were given.
    p_value : float
        Share of the null at least as far from its middle; NaN without a null.
    """

    correlation: float
    interval: tuple[float, float]
    slope: float
    across_shells: float
    n_independent: float
    null: Floats
    p_value: float


@checked
def coupling(
    fraction: Tomogram | ArrayLike,
    valence: Tomogram | ArrayLike,
    shells: Shells,
    *,
    correlation_length_nm: float = 0.0,
    null_draws: Iterable[tuple[ArrayLike, ArrayLike]] = (),
    voxel_size_nm: float | None = None,
) -> Coupling:
    """Measure how the valence of a metal goes with its concentration at equal depth.

    Parameters
    ----------
    fraction : Tomogram or array_like, shape (z, y, x)
        Of the metal, such as at% Mn; NaN outside.
    valence : Tomogram or array_like, shape (z, y, x)
        Share of one state, such as Mn4+ in % of Mn; NaN outside.
    shells : ndarray of int, shape (z, y, x)
        Number of the shell, 0 outside.
    correlation_length_nm : float, default 0
        How far voxels are correlated (`independent_voxels`). Tomograms are smooth: 0 makes the interval too narrow.
    null_draws : iterable of (fraction, valence), optional
        Pairs without coupling, with the cross-talk that the measurement has: the same counts make both maps, and the
        density that divides them is one.
    voxel_size_nm : float, optional
        That of the tomogram by default, else 4.63 nm.

    Returns
    -------
    Coupling

    Raises
    ------
    ValueError
        If the shapes differ, or one of the two does not vary.

    Examples
    --------
    >>> from tritomo_helpers.particles import shells
    >>> cube, rng = shells(np.ones((9, 9, 9), bool)), np.random.default_rng(0)
    >>> manganese = 11 - 0.5 * cube + rng.normal(0, 1, cube.shape)
    >>> both = coupling(manganese, 60 + 4 * cube - 3 * (manganese + 0.5 * cube), cube)
    >>> round(both.correlation, 3), round(both.slope, 3)
    (-1.0, -3.0)
    """
    x, y = _paired(fraction, valence, shells, voxel_size_nm)
    correlation, slope = _within_shells(x, y)
    # Products of two fields are correlated over 1 / √2 of their length, across shells as within them.
    n = float(
        independent_voxels(
            x.inside.astype(np.int16),
            correlation_length_nm=correlation_length_nm / np.sqrt(2),
            voxel_size_nm=x.voxel_size_nm,
        )[0]
    )
    null = np.array([_within_shells(*_paired(*pair, shells, voxel_size_nm))[0] for pair in null_draws])
    several = x.n > 1
    spread, mean = np.sqrt(x.variance(x.values))[several], y.mean(y.values)[several]
    return Coupling(
        correlation,
        _fisher_interval(correlation, n),
        slope,
        float(np.corrcoef(spread, mean)[0, 1]) if np.ptp(spread) > 0 and np.ptp(mean) > 0 else float("nan"),
        n,
        null,
        p_value(correlation, null, tail="both") if null.size else float("nan"),
    )


def _paired(
    fraction: Tomogram | ArrayLike, valence: Tomogram | ArrayLike, shells: Shells, voxel_size_nm: float | None
) -> tuple[ShellSums, ShellSums]:
    """Sort the voxels in which both were measured."""
    size = voxel_size_nm if voxel_size_nm is not None else getattr(fraction, "voxel_size_nm", None)
    x = np.asarray(getattr(fraction, "values", fraction), dtype=np.float64)
    y = np.asarray(getattr(valence, "values", valence), dtype=np.float64)
    check_shape(y, "valence", x.shape, remedy="give both on one grid")
    both = np.isfinite(x) & np.isfinite(y)
    return (
        shell_sums(np.where(both, x, np.nan), shells, voxel_size_nm=size),
        shell_sums(np.where(both, y, np.nan), shells, voxel_size_nm=size),
    )


def _within_shells(x: ShellSums, y: ShellSums) -> tuple[float, float]:
    dx = x.values - x.mean(x.values)[x.label - 1]
    dy = y.values - y.mean(y.values)[y.label - 1]
    if not dx.any() or not dy.any():
        raise fail(
            "fraction and valence", expected="values that vary", got="a constant", remedy="there is nothing to couple"
        )
    return float(dx @ dy / np.sqrt((dx @ dx) * (dy @ dy))), float(dx @ dy / (dx @ dx))


def _fisher_interval(correlation: float, n: float) -> tuple[float, float]:
    if n <= 3:
        return -1.0, 1.0
    center, half = np.arctanh(np.clip(correlation, -1 + 1e-12, 1 - 1e-12)), special.ndtri(0.975) / np.sqrt(n - 3)
    return float(np.tanh(center - half)), float(np.tanh(center + half))
