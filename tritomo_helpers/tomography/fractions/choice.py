"""Settings of the prior chosen by counts set aside; the constant map is kept when nothing more is supported."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._typing import Floats32
from ..._validation import check_option, check_shape, checked, fail
from .data import FractionData, Operator
from .posterior import Noise, Solver
from .prior import Prior

_TYPICAL_DEPTH_NM = 20.0
#: Variance of the images that are fitted is 1 + k times that of all counts, as if 1 / (1 + k) = 70 % had been kept.
_FISSION = 3 / 7


@dataclass(frozen=True, eq=False)
class PriorChoice:
    """The settings chosen, and what they were chosen by.

    Parameters
    ----------
    prior : Prior
    gain : float
        Log likelihood of the data set aside over that of the constant map, mean of the splits; 0 when it is kept.
    tried : list of (Prior, float)
        Every setting tried, with its gain.
    why : str
    """

    prior: Prior
    gain: float
    tried: list[tuple[Prior, float]]
    why: str

    def widest(self, *, within: float = 2.0) -> Prior:
        """Return the setting tried with the largest variation that the data set aside cannot exclude.

        Beside a constant map too: that nothing gains enough to be chosen does not mean that nothing varies.

        Parameters
        ----------
        within : float, default 2
            Log units below the best, as two standard deviations of one setting.
        """
        least = max((self.gain, *(gain for _, gain in self.tried))) - within
        possible = [prior for prior, gain in self.tried if gain >= least and not prior.is_constant]
        return max(possible, key=_variation, default=self.prior)


def _variation(prior: Prior) -> float:
    """Rough mean square of the variation: its size at the surface, and how far down it reaches."""
    sds = np.ones(2) if prior.state_sds is None else np.asarray(prior.state_sds)
    reach = 1 / (1 + 2 * _TYPICAL_DEPTH_NM / prior.decay_nm)
    return float((prior.sd**2 + prior.fine_sd**2 + prior.depth_sd**2) * np.square(sds).mean() * reach)


@checked
def split_by_fission(data: FractionData, *, rng: np.random.Generator) -> tuple[Floats32, Floats32]:
    r"""Split images into two with independent noise, without counts to thin.

    .. math:: a_1 = a + \sqrt{k}\, n, \quad a_2 = a - n / \sqrt{k}, \quad n \sim N(0, C), \quad k = 3/7

    Parameters
    ----------
    data : FractionData
        Its covariance C must be that of the noise in the images.
    rng : numpy.random.Generator

    Returns
    -------
    first, second : ndarray, shape (channel, tilt, y, x)
        Of covariance (1 + k) C, to fit, and (1 + 1/k) C, to judge by. Beyond the specimen they stay as they are.

    References
    ----------
    Leiner et al., J. Am. Stat. Assoc. 120, 135 (2025).

    Examples
    --------
    >>> import numpy as np
    >>> density = np.ones((4, 4, 4), np.float32)
    >>> unit = np.eye(2)[:, :, None, None, None] * np.ones((1, 4, 4))
    >>> data = FractionData(
    ...     np.ones((2, 1, 4, 4)), unit, np.zeros(1), density, density > 0, np.array([0.5, 0.5]), np.ones((2, 1))
    ... )
    >>> first, second = split_by_fission(data, rng=np.random.default_rng(1))
    >>> np.allclose(0.7 * first + 0.3 * second, data.images)
    True
    """
    operator = Operator(data)
    noise = operator.to_images(Noise(operator, density_error=0.0).sample(rng))
    root = np.sqrt(_FISSION)
    return data.images + noise * np.float32(root), data.images - noise / np.float32(root)


class Judge:
    """Gain of a prior over the constant map on the data set aside."""

    def __init__(self, data: FractionData, splits: Sequence[tuple[NDArray[Any], NDArray[Any]]]) -> None:
        self.operator = Operator(data)
        self.fit_noise = Noise(self.operator, scale=1 + _FISSION)
        self.judge_noise = Noise(self.operator, scale=1 + 1 / _FISSION)
        self.splits = [
            tuple(self.operator.from_images(images) - self.operator.constant for images in split) for split in splits
        ]
        self.scores: dict[Prior, float] = {}
        self.duals: list[Floats32 | None] = [None] * len(splits)

    def score(self, prior: Prior) -> float:
        """Log likelihood of the data set aside, mean of the splits, up to a constant."""
        if prior not in self.scores:
            solver = Solver(self.operator, self.fit_noise, prior, tolerance=5e-3)
            logs = []
            for i, (to_fit, to_judge) in enumerate(self.splits):
                dual = self.duals[i] = solver.dual(to_fit, start=self.duals[i])
                predicted = self.operator.forward(solver.modes(dual))
                residual = self.judge_noise.whiten(to_judge - predicted)
                logs.append(-0.5 * float(np.square(residual).sum(dtype=np.float64)))
            self.scores[prior] = float(np.mean(logs))
        return self.scores[prior]


@checked
def choose_prior(
    data: FractionData,
    *,
    start: Prior,
    grid: Mapping[str, Sequence[Any]],
    rng: np.random.Generator,
    n_splits: int = 2,
    min_gain: float = 4.0,
    splits: Sequence[tuple[NDArray[Any], NDArray[Any]]] | None = None,
) -> PriorChoice:
    """Search settings one after another for the largest likelihood of counts set aside.

    Parameters
    ----------
    data : FractionData
    start : Prior
        Where the search begins.
    grid : mapping of str to sequence
        Values of fields of the prior, such as ``{"sd": (0, 0.01, 0.02)}``. From `start` rising numbers are walked up
        and down for as long as the likelihood rises, other values are all tried, until no field moves any more.
        Numbers for ``"state_sds"`` are those of each state, tuples are those of all.
    rng : numpy.random.Generator
        Splits the data.
    n_splits : int, default 2
        Splits to average over.
    min_gain : float, default 4
        Units of log likelihood by which the constant map must be beaten.
    splits : sequence of (ndarray, ndarray), optional
        Images to fit and to judge by, if counts were thinned 70/30: both divided by their share.

    Returns
    -------
    PriorChoice

    Raises
    ------
    ValueError
        If a name in the grid is not a field of the prior, or images of the splits have another shape.

    Examples
    --------
    >>> import numpy as np
    >>> density = np.ones((4, 4, 4), np.float32)
    >>> unit = np.eye(2)[:, :, None, None, None] * np.ones((1, 4, 4))
    >>> data = FractionData(
    ...     np.ones((2, 1, 4, 4)), unit, np.zeros(1), density, density > 0, np.array([0.5, 0.5]), np.ones((2, 1))
    ... )
    >>> choose_prior(data, start=Prior(), grid={"sd": (0.0, 0.05)}, rng=np.random.default_rng(1)).why
    'constant map: nothing gains 4 log units on counts set aside'
    """
    for name in grid:
        check_option(name, "grid", tuple(Prior.__dataclass_fields__))
    if splits is None:
        if n_splits < 1:
            raise fail("n_splits", expected="one or more", got=n_splits, remedy="use 2")
        splits = [split_by_fission(data, rng=rng) for _ in range(n_splits)]
    for i, split in enumerate(splits):
        for images in split:
            check_shape(images, f"splits[{i}]", data.images.shape, remedy="thin the images of the data")
    judge = Judge(data, splits)
    constant = judge.score(start.constant())
    settings, best, improved = _settings(grid, len(data.mean_fractions)), start, True
    while improved:
        before = judge.score(best)
        for setting, values in settings:
            best = _walk(best, setting, values, judge)
        improved = judge.score(best) > before
    gain = judge.score(best) - constant
    tried = [(prior, score - constant) for prior, score in judge.scores.items()]
    if gain < min_gain:
        why = f"constant map: nothing gains {min_gain:g} log units on counts set aside"
        return PriorChoice(start.constant(), 0.0, tried, why)
    return PriorChoice(best, gain, tried, f"gains {gain:.1f} log units over the constant map on counts set aside")


@dataclass(frozen=True)
class _Setting:
    """One number of a prior, or one of its tuple of standard deviations."""

    name: str
    state: int | None = None

    def of(self, prior: Prior) -> Any:
        value = getattr(prior, self.name)
        return value if self.state is None else value[self.state]

    def put(self, prior: Prior, value: Any) -> Prior | None:
        """Return the prior with another value, or None if fewer than two states could vary."""
        if self.state is not None:
            sds = list(getattr(prior, self.name))
            sds[self.state] = value
            if sum(sd > 0 for sd in sds) < 2:
                return None
            value = tuple(sds)
        return replace(prior, **{self.name: value})


def _settings(grid: Mapping[str, Sequence[Any]], n_states: int) -> list[tuple[_Setting, list[Any]]]:
    settings = []
    for name, values in grid.items():
        of_each = name == "state_sds" and all(isinstance(value, float) for value in values)
        settings += [(_Setting(name, state), list(values)) for state in (range(n_states) if of_each else [None])]
    return settings


def _walk(best: Prior, setting: _Setting, values: list[Any], judge: Judge) -> Prior:
    """Step along the values of one setting, up or down, for as long as the score rises; try all that have no order."""
    if best.is_constant and setting.name not in ("sd", "fine_sd", "depth_sd"):
        return best  # without variation its lengths mean nothing
    if setting.of(best) not in values or not _rising(values):
        others = [prior for value in values if (prior := setting.put(best, value)) is not None]
        best = max(others, key=judge.score)
    if not _rising(values):
        return best
    for step in (1, -1):
        i = values.index(setting.of(best)) + step
        while 0 <= i < len(values):
            neighbor = setting.put(best, values[i])
            if neighbor is None or judge.score(neighbor) <= judge.score(best):
                break
            best, i = neighbor, i + step
    return best


def _rising(values: list[Any]) -> bool:
    """Whether values are numbers of which each is larger than the one before."""
    numbers = all(isinstance(value, (int, float)) for value in values)
    return numbers and all(low < high for low, high in pairwise(values))
