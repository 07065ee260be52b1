"""Choose a setting without the truth: predict data that the reconstruction has not seen.

Two ways to set data aside. ``"tilts"``: leave out some tilts and compare with the reprojection; needs no noise model.
``"counts"``: split every Poisson count at random into a large and a small part; the parts are independent, so the small
one judges what was made from the large one with all tilts present.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from .._typing import Floats, Floats32
from .._validation import fail
from ..metrics import thin_counts
from .problem import Problem

#: Tilts are left out in fours, so there are as many different ways.
N_FOLDS = 4


@dataclass(frozen=True, eq=False)
class Selection:
    """One setting that was chosen without the truth.

    Parameters
    ----------
    value : float
        What was chosen; a whole number where a count is meant.
    tried : ndarray, shape (n,)
        Every value tried, increasing.
    errors : ndarray, shape (n,)
        Relative error of predicting the data set aside, for each.
    why : str
        The reason in words.

    Examples
    --------
    >>> Selection(2, np.array([1.0, 2.0]), np.array([0.2, 0.1]), "2 iterations predict best").value
    2
    """

    value: float
    tried: Floats
    errors: Floats
    why: str


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

    def error(self, volume: Floats32) -> float:
        """Relative error of the prediction for the data set aside, pixels weighted as in the problem."""
        return _relative(self.judge.projector.forward(volume), self.judge.images, self.judge.weights)

    def error_of_cells(self, cells: Floats32, *, supersampling: int) -> float:
        """As `error`, of cells (z, x, y) that split voxels, projected as what they are and not as whole voxels."""
        slices = self.judge.slices(supersampling=supersampling)
        return _relative(slices.forward(cells), slices.data, slices.data_weights)


def _relative(predicted: Floats32, images: Floats32, weights: Floats32 | None) -> float:
    difference = predicted - images
    if weights is not None:
        root = np.sqrt(weights)
        difference, images = difference * root, images * root
    return float(np.linalg.norm(difference) / np.linalg.norm(images))


def split_tilts(problem: Problem, n_folds: int) -> list[Split]:
    """Leave out every fourth tilt, never the first or last: a fold asks to fill gaps, not to guess beyond the ends."""
    if problem.n_tilts < 4:
        raise fail(
            "tilts", expected="at least 4 to hold some out", got=problem.n_tilts, remedy="give the weight or the stop"
        )
    every = np.arange(problem.n_tilts)
    splits = []
    for fold in range(n_folds):
        held = every[1:-1][fold :: min(N_FOLDS, problem.n_tilts - 2)]
        if held.size:
            splits.append(Split(problem.subset(np.setdiff1d(every, held)), problem.subset(held)))
    return splits


def split_counts(
    problem: Problem, n_folds: int, *, counts_per_unit: float, rng: np.random.Generator, fraction: float = 0.8
) -> list[Split]:
    """Thin the counts: `fraction` of them to reconstruct from, the rest to judge by."""
    per_value = counts_per_unit * problem.unit
    splits = []
    for _ in range(n_folds):
        first, second = thin_counts(problem.images * per_value, rng=rng, fraction=fraction)
        train = (first / (fraction * per_value)).astype(np.float32)
        judge = (second / ((1 - fraction) * per_value)).astype(np.float32)
        splits.append(Split(replace(problem, images=train), replace(problem, images=judge)))
    return splits


def choose_on_grid(
    splits: Sequence[Split],
    solve: Callable[[Problem, float], Floats32],
    *,
    first: float,
    factor: float = 2.0,
    limits: tuple[float, float] = (1e-5, 1.0),
) -> tuple[float, dict[float, float]]:
    """Walk a geometric grid downhill in the mean error of the splits.

    Parameters
    ----------
    splits : sequence of Split
    solve : callable
        (problem, value) -> volume.
    first, factor, limits : float
        Where the walk starts, its step, and where it ends at the latest.

    Returns
    -------
    value : float
        Where a parabola through the lowest error and its neighbors has its minimum.
    errors : dict of float to float
        Every value tried, increasing, with its error.
    """
    errors: dict[float, float] = {}

    def error(value: float) -> float:
        if value not in errors:
            errors[value] = float(np.mean([split.error(solve(split.train, value)) for split in splits]))
        return errors[value]

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
    iterate: Callable[[Problem], Iterable[Floats32]],
    *,
    n_max: int,
    patience: int = 10,
) -> tuple[int, dict[float, float]]:
    """Iterate until the error of the data set aside has not fallen for `patience` iterations.

    Returns
    -------
    n_iterations : int
        Where the mean error of the splits is lowest.
    errors : dict of float to float
        The mean error after every iteration, counted from 1.
    """
    running = [iter(iterate(split.train)) for split in splits]
    errors: list[float] = []
    while len(errors) < n_max and len(errors) - int(np.argmin(errors or [0])) <= patience:
        errors.append(float(np.mean([split.error(next(it)) for split, it in zip(splits, running, strict=True)])))
    return int(np.argmin(errors)) + 1, {float(i): error for i, error in enumerate(errors, 1)}
