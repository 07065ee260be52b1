"""Sizes of the prior matched to the data: the reconstruction must vary as much as those of invented specimens do."""

from dataclasses import replace

import numpy as np

from ..._typing import Bools, Floats, Floats32
from ..._validation import check_count, checked
from .data import FractionData, Operator
from .posterior import Noise, Solver
from .prior import Prior

#: Largest change of a standard deviation in one round.
_LARGEST_STEP = 1.6


@checked
def match_sizes(
    data: FractionData, prior: Prior, *, rng: np.random.Generator, n_draws: int = 4, n_rounds: int = 2
) -> Prior:
    r"""Scale the standard deviation of every state, and the decay with depth, to what the reconstruction shows.

    .. math:: s_e \leftarrow s_e \sqrt{\frac{\sum_v \hat f_{ev}^2}{\langle \sum_v \tilde f_{ev}^2 \rangle}}

    with the departures :math:`\hat f` that are reconstructed from the data, and :math:`\tilde f` reconstructed from
    specimens and noise that the prior and the covariance invent. Counts set aside tell a length well and a size only
    roughly, since a third of the counts has to judge; here all of them do.

    Parameters
    ----------
    data : FractionData
    prior : Prior
        With settings chosen; one that is constant comes back as it is.
    rng : numpy.random.Generator
        Invents specimens and noise.
    n_draws, n_rounds : int, default 4 and 2
        Specimens in a round, and rounds.

    Returns
    -------
    Prior

    Examples
    --------
    >>> density = np.ones((4, 4, 4), np.float32)
    >>> unit = np.eye(2)[:, :, None, None, None] * np.ones((1, 4, 4))
    >>> data = FractionData(
    ...     np.ones((2, 1, 4, 4)), unit, np.zeros(1), density, density > 0, np.array([0.5, 0.5]), np.ones((2, 1))
    ... )
    >>> match_sizes(data, Prior(), rng=np.random.default_rng(1)) == Prior()
    True
    """
    check_count(n_draws, "n_draws")
    operator, n_states = Operator(data), len(data.mean_fractions)
    noise = Noise(operator)
    departure = operator.from_images(data.images) - operator.constant
    for _ in range(0 if prior.is_constant else n_rounds):
        solver = Solver(operator, noise, prior, tolerance=5e-3)
        depth_nm = solver.covariance.depth_nm
        inside = operator.cut(data.mask) > 0
        deep = inside & (depth_nm > np.median(depth_nm[inside]))
        halves = (inside & ~deep, deep)
        shown = _power(operator, solver(departure), halves)
        expected = np.zeros_like(shown)
        for _ in range(n_draws):
            images = operator.forward(solver.covariance.sample(rng)) + noise.sample(rng)
            expected += _power(operator, solver(images), halves) / n_draws
        sds = np.ones(n_states) if prior.state_sds is None else np.asarray(prior.state_sds)
        total = np.divide(shown.sum(axis=0), expected.sum(axis=0), out=np.ones(n_states), where=sds > 0)
        scales = np.clip(np.sqrt(total), 1 / _LARGEST_STEP, _LARGEST_STEP)
        prior = replace(
            prior,
            state_sds=tuple(float(sd) for sd in sds * scales),
            decay_nm=_decay(prior.decay_nm, shown.sum(axis=1) / expected.sum(axis=1), halves, depth_nm),
        )
    return prior


def _power(operator: Operator, modes: Floats32, halves: tuple[Bools, ...]) -> Floats:
    """Sum of squared departures from the mean, shape (half, state)."""
    fractions = np.matmul(operator.basis, modes).transpose(0, 1, 3, 2)  # (z, x, y, state)
    everywhere = np.any(halves, axis=0)
    fractions = fractions - fractions[everywhere].mean(axis=0)
    return np.stack([np.square(fractions[half]).sum(axis=0, dtype=np.float64) for half in halves])


def _decay(decay_nm: float, ratios: Floats, halves: tuple[Bools, ...], depth_nm: Floats) -> float:
    """Decay that moves the power of the two halves toward what is shown."""
    apart = float(depth_nm[halves[1]].mean() - depth_nm[halves[0]].mean())
    step = np.clip(0.5 * np.log(ratios[1] / ratios[0]), -np.log(_LARGEST_STEP), np.log(_LARGEST_STEP))
    rate = 1 / decay_nm - step / max(apart, 1e-6)
    return float(1 / rate) if rate > 0 else float("inf")
