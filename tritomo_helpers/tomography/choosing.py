"""Choose a stopping point or a weight without the truth: predict data that the reconstruction has not seen.

Two ways to set data aside. ``"tilts"``: leave out some tilts and compare with the reprojection; needs no noise model.
``"counts"``: split every Poisson count at random into a large and a small part; the parts are independent, so the small
one judges what was made from the large one with all tilts present.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._validation import fail
from ..metrics import thin_counts
from ._problem import Problem, Volume


@dataclass(frozen=True, eq=False)
class Split:
    """Data to reconstruct from, and data to judge by.

    Parameters
    ----------
    train : Problem
    judge : Problem
        Its images are on the scale of the training images.
    """

    train: Problem
    judge: Problem

    def error(self, volume: Volume) -> float:
        """Relative error of the prediction for the data set aside."""
        predicted = self.judge.projector.forward(volume)
        return float(np.linalg.norm(predicted - self.judge.images) / np.linalg.norm(self.judge.images))


def split_tilts(problem: Problem, n_folds: int) -> list[Split]:
    """Leave out every fourth tilt, never the first or last: a fold asks to fill gaps, not to guess beyond the ends."""
    if problem.n_tilts < 4:
        raise fail(
            "tilts", expected="at least 4 to hold some out", got=problem.n_tilts, remedy="give the weight or the stop"
        )
    every = np.arange(problem.n_tilts)
    splits = []
    for fold in range(n_folds):
        held = every[1:-1][fold :: min(4, problem.n_tilts - 2)]
        if held.size:
            splits.append(Split(problem.subset(np.setdiff1d(every, held)), problem.subset(held)))
    return splits


def split_counts(
    problem: Problem, n_folds: int, *, counts_per_unit: float, rng: np.random.Generator, fraction: float = 0.8
) -> list[Split]:
    """Thin the counts: `fraction` of them to reconstruct from, the rest to judge by."""
    splits = []
    for _ in range(n_folds):
        first, second = thin_counts(problem.images * counts_per_unit, rng=rng, fraction=fraction)
        train = (first / (fraction * counts_per_unit)).astype(np.float32)
        judge = (second / ((1 - fraction) * counts_per_unit)).astype(np.float32)
        splits.append(Split(replace(problem, images=train), replace(problem, images=judge)))
    return splits


def choose_weight(
    splits: Sequence[Split],
    solve: Callable[[Problem, float, Any], tuple[Volume, Any]],
    *,
    first: float,
    factor: float = 2.0,
    limits: tuple[float, float] = (1e-5, 1.0),
) -> tuple[float, dict[float, float]]:
    """Walk a geometric grid of weights downhill in the mean error of the splits.

    Parameters
    ----------
    splits : sequence of Split
    solve : callable
        (problem, weight, state) -> (volume, state); the state starts the next weight.
    first, factor, limits : float
        Where the walk starts, its step, and where it ends at the latest.

    Returns
    -------
    weight : float
        Where a parabola through the lowest error and its neighbors has its minimum.
    errors : dict of float to float
        Every weight tried, with its error.
    """
    errors: dict[float, float] = {}
    states: list[Any] = [None] * len(splits)

    def error(weight: float) -> float:
        if weight not in errors:
            scores = []
            for i, split in enumerate(splits):
                volume, states[i] = solve(split.train, weight, states[i])
                scores.append(split.error(volume))
            errors[weight] = float(np.mean(scores))
        return errors[weight]

    best = first
    direction = factor if error(first * factor) < error(first) else 1 / factor
    while limits[0] < best * direction < limits[1] and error(best * direction) < error(best):
        best *= direction
    below, above = error(best / factor), error(best * factor)
    bend = below - 2 * error(best) + above
    shift = 0.5 * (below - above) / bend if bend > 0 else 0.0
    return float(best * factor ** np.clip(shift, -0.5, 0.5)), dict(sorted(errors.items()))


def choose_stop(
    splits: Sequence[Split],
    iterate: Callable[[Problem], Iterable[Volume]],
    *,
    n_max: int,
    patience: int = 10,
) -> tuple[int, NDArray[np.float64]]:
    """Iterate until the error of the data set aside has not fallen for `patience` iterations.

    Returns
    -------
    n_iterations : int
        Where the mean error of the splits is lowest.
    errors : ndarray, shape (iterations,)
        The mean error after every iteration.
    """
    running = [iter(iterate(split.train)) for split in splits]
    errors: list[float] = []
    while len(errors) < n_max and len(errors) - int(np.argmin(errors or [0])) <= patience:
        errors.append(float(np.mean([split.error(next(it)) for split, it in zip(splits, running, strict=True)])))
    return int(np.argmin(errors)) + 1, np.array(errors)
