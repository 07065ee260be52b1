"""Statements that a null has to lose against: is it segregated, does it change with depth."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .._typing import Floats
from .._validation import check_option, checked, fail
from ..containers import Tomogram
from ._shell_sums import shell_sums
from .shells import Shells

Volume = Tomogram | ArrayLike


@dataclass(frozen=True, eq=False)
class Verdict:
    """What was measured beside what the null gives.

    Parameters
    ----------
    statistic : float
        Of the measured volume; its unit is that of the function that made it.
    null : ndarray, shape (draw,)
        The same of each draw of the null.
    p_value : float
        Share of draws at least as extreme, the measured one counted among them.
    level : float
        False positives that were accepted.
    """

    statistic: float
    null: Floats
    p_value: float
    level: float

    @property
    def positive(self) -> bool:
        """Whether the null would show this in fewer than `level` of all cases."""
        return self.p_value <= self.level


@checked
def verdict(
    statistic: Callable[[Volume], float],
    volume: Volume,
    *,
    null_draws: Iterable[Volume],
    level: float = 0.05,
    tail: str = "upper",
) -> Verdict:
    """Compare any statistic of a volume with what it is for draws of a null.

    Parameters
    ----------
    statistic : callable
        Takes a volume, returns a number.
    volume : Tomogram or array_like, shape (z, y, x)
        What was measured, in any unit.
    null_draws : iterable of the same
        Voxels in which there is nothing to find, made as the measured one was: the same particle, dose, alignment and
        settings, chosen anew where they were chosen from the data.
    level : float, default 0.05
        Share of false positives that is accepted. Needs at least 1 / level - 1 draws.
    tail : {"upper", "both"}
        Whether large values alone are extreme, or those far from the middle of the null on either side.

    Returns
    -------
    Verdict

    Raises
    ------
    ValueError
        If there are too few draws for the level.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> draws = [rng.normal(size=(4, 4, 4)) for _ in range(99)]
    >>> verdict(np.max, np.full((4, 4, 4), 9.0), null_draws=draws).p_value
    0.01
    """
    check_option(tail, "tail", ("upper", "both"))
    measured = float(statistic(volume))
    null = np.array([float(statistic(draw)) for draw in null_draws])
    needed = int(np.ceil(1 / level)) - 1 if 0 < level < 1 else 0
    if not 0 < level < 1 or null.size < needed:
        raise fail(
            "null_draws",
            expected=f"a level between 0 and 1, and at least 1 / level - 1 draws ({needed})",
            got=f"level {level} and {null.size} draws",
            remedy="draw the null more often",
        )
    return Verdict(measured, null, p_value(measured, null, tail=tail), level)


def p_value(measured: float, null: Floats, *, tail: str) -> float:
    """Return the share of a null that is at least as extreme as what was measured, the latter counted with it.

    Examples
    --------
    >>> p_value(3.0, np.array([1.0, 2.0, 4.0]), tail="upper")
    0.5
    """
    # For both tails the middle is that of all, the measured one among them: then the ranks are exchangeable.
    middle = float(np.median(np.append(null, measured)))
    as_extreme = null >= measured if tail == "upper" else np.abs(null - middle) >= abs(measured - middle)
    return float((1 + np.count_nonzero(as_extreme)) / (1 + null.size))


@checked
def segregated(volume: Volume, shells: Shells, *, null_draws: Iterable[Volume], level: float = 0.05) -> Verdict:
    """Say whether a metal varies more at equal depth than noise alone makes it vary.

    The statistic is the variance within shells, pooled over the particle (the square of the volume's unit). A change
    with depth does not count.

    Parameters
    ----------
    volume : Tomogram or array_like, shape (z, y, x)
        Fraction of one metal, NaN outside.
    shells : ndarray of int, shape (z, y, x)
        Number of the shell, 0 outside.
    null_draws, level
        See `verdict`.

    Returns
    -------
    Verdict

    Examples
    --------
    >>> from tritomo_helpers.particles import shells
    >>> ball, rng = shells(np.ones((9, 9, 9), bool)), np.random.default_rng(0)
    >>> draws = [rng.normal(11, 1, ball.shape) for _ in range(40)]
    >>> clusters = rng.normal(11, 1, ball.shape)
    >>> clusters[2:4, 2:4, 2:4] += 9
    >>> segregated(clusters, ball, null_draws=draws).positive
    True
    """

    def pooled(x: Volume) -> float:
        sums = shell_sums(x, shells)
        variance = sums.variance(sums.values)
        return float(np.nansum(variance * sums.n) / sums.n.sum())

    return verdict(pooled, volume, null_draws=null_draws, level=level)


@checked
def depth_trend(
    volume: Volume,
    shells: Shells,
    *,
    null_draws: Iterable[Volume],
    level: float = 0.05,
    voxel_size_nm: float | None = None,
) -> Verdict:
    """Say whether a quantity changes with depth more than noise alone makes it change, inward or outward.

    The statistic is the slope of a straight line through all voxels against their depth, per nm; positive where the
    quantity grows inward.

    Parameters
    ----------
    volume : Tomogram or array_like, shape (z, y, x)
        Fraction of an element or of a valence state, NaN outside.
    shells : ndarray of int, shape (z, y, x)
        Number of the shell, 0 outside.
    null_draws, level
        See `verdict`.
    voxel_size_nm : float, optional
        Of an array; a Tomogram knows its own.

    Returns
    -------
    Verdict

    Notes
    -----
    A null without errors of density and absorption shows no false trend where these make one: draw them too.

    Examples
    --------
    >>> from tritomo_helpers.particles import shells
    >>> ball, rng = shells(np.ones((9, 9, 9), bool)), np.random.default_rng(0)
    >>> draws = [rng.normal(67, 1, ball.shape) for _ in range(40)]
    >>> trend = depth_trend(rng.normal(67, 1, ball.shape) + ball, ball, null_draws=draws)
    >>> trend.positive, trend.statistic > 0
    (True, True)
    """

    def slope(x: Volume) -> float:
        sums = shell_sums(x, shells, voxel_size_nm=voxel_size_nm)
        depth = sums.depth_nm[sums.label - 1]
        centered = depth - depth.mean()
        return float(centered @ sums.values / (centered @ centered))

    return verdict(slope, volume, null_draws=null_draws, level=level, tail="both")
