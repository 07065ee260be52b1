"""How far the data leave open which length the variations have: each length weighed by counts set aside."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._validation import checked
from .choice import Judge, PriorChoice
from .data import FractionData
from .matching import match_sizes
from .prior import WeightedPrior


@checked
def weigh_lengths(
    data: FractionData,
    choice: PriorChoice,
    *,
    lengths_nm: Sequence[float],
    rng: np.random.Generator,
    splits: Sequence[tuple[NDArray[Any], NDArray[Any]]],
    within: float = 3.0,
    n_draws: int = 2,
) -> list[WeightedPrior]:
    r"""Match sizes at every length that counts set aside do not exclude, and weigh the settings by these counts.

    .. math:: w_l \propto e^{g_l}

    with the gain g of the settings of length l, in log units. Noise hides the finest variations, so that a short length
    with large ones explains the images nearly as well as a long length with small ones; the errors of single voxels are
    those of neither. A reconstruction whose errors are drawn from all of them says so.

    Parameters
    ----------
    data : FractionData
    choice : PriorChoice
        From `choose_prior`; beside a constant map, the widest variation that counts set aside cannot exclude.
    lengths_nm : sequence of float
        Rising.
    rng : numpy.random.Generator
        Invents specimens and noise.
    splits : sequence of (ndarray, ndarray), shape (element, tilt, y, x)
        Images to fit and to judge by, in the unit of `data`, see `choose_prior`.
    within : float, default 3
        Log units below the best at which lengths are excluded.
    n_draws : int, default 2
        Specimens in a round of `match_sizes`.

    Returns
    -------
    list of (Prior, float)
        Settings and weights, which sum to 1; the largest weight first.

    Examples
    --------
    >>> from tritomo_helpers.tomography.fractions import FractionData, Prior, PriorChoice
    >>> density = np.ones((4, 4, 4), np.float32)
    >>> unit = np.eye(2)[:, :, None, None, None] * np.ones((1, 4, 4))
    >>> data = FractionData(
    ...     np.ones((2, 1, 4, 4)), unit, np.zeros(1), density, density > 0, np.array([0.5, 0.5]), np.ones((2, 1))
    ... )
    >>> constant = PriorChoice(Prior(), 0.0, [], "")
    >>> weigh_lengths(data, constant, lengths_nm=(5.0, 9.0), rng=np.random.default_rng(1), splits=[])[0][1]
    1.0
    """
    if choice.prior.is_constant:
        return [(choice.widest(), 1.0)]
    judge = Judge(data, splits)
    first = match_sizes(data, choice.prior, rng=rng, n_draws=n_draws)
    gains = {first: judge.score(first)}
    shorter = sorted((length for length in lengths_nm if length < first.length_nm), reverse=True)
    for side in (shorter, sorted(length for length in lengths_nm if length > first.length_nm)):
        neighbor = first
        for length in side:
            # As much power in what is coarser than either length.
            sd = neighbor.sd * (neighbor.length_nm / length) ** 1.5
            scaled = replace(neighbor, length_nm=length, sd=sd)
            neighbor = match_sizes(data, scaled, rng=rng, n_draws=n_draws, n_rounds=1)
            gains[neighbor] = judge.score(neighbor)
            if gains[neighbor] < max(gains.values()) - within:
                break
    best = max(gains.values())
    weights = {prior: float(np.exp(gain - best)) for prior, gain in gains.items() if gain >= best - within}
    total = sum(weights.values())
    return sorted(((prior, weight / total) for prior, weight in weights.items()), key=lambda pair: -pair[1])
