"""Shares of elements or valence states in every voxel and shell, and statements that a null has to lose against."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from .. import particles
from .._typing import Bools, Floats, Floats32
from ..particles import Verdict
from ..particles.shells import Shells
from ..tomography.fractions import FractionData, Prior
from ..tomography.fractions.data import Operator
from ..tomography.fractions.posterior import Noise, Solver, null_images

N_NULL_DRAWS = 39
"""Twice the least number for a level of 5 %."""
LOOSE = 0.01
"""Where conjugate gradients stop for verdicts: half the steps, and the same for the measured and the null."""


@dataclass(frozen=True, eq=False)
class Shares:
    """Volumes by name, 0 to 1 and NaN outside, and what they are in the shells.

    ``spread`` is the standard deviation within each shell without the noise's share, ``decay_nm`` its decay length with
    the 95 % interval (3,). A verdict is (statistic, null 2.5 %, null 97.5 %, p).
    """

    values: Mapping[str, Floats32]
    standard_errors: Mapping[str, Floats32]
    depth_nm: Floats
    profile_mean: Mapping[str, Floats]
    profile_sd: Mapping[str, Floats]
    profile_error: Mapping[str, Floats]
    spread: Mapping[str, Floats]
    decay_nm: Mapping[str, Floats]
    verdicts: Mapping[str, Floats] = field(default_factory=dict)


def in_shells(
    values: Mapping[str, Floats32],
    shells: Shells,
    voxel_size_nm: float,
    *,
    standard_errors: Mapping[str, Floats32] | None = None,
    error_draws: Mapping[str, Floats32] | None = None,
    correlated_nm: Mapping[str, float],
    verdicts: Mapping[str, Floats] | None = None,
) -> Shares:
    """Describe volumes shell by shell; draws of the error give the errors of means and the share of the noise.

    `correlated_nm` says how far each volume is smooth, without which the interval of the decay is far too narrow.
    """
    means, sds, errors, spreads, decays = {}, {}, {}, {}, {}
    depth = particles.mean_depth_nm(shells, voxel_size_nm=voxel_size_nm)
    for name, volume in values.items():
        draws = error_draws[name] if error_draws else None
        profile = particles.depth_profile(volume, shells, voxel_size_nm=voxel_size_nm, error_draws=draws)
        varies = np.nanstd(volume[shells > 0]) > 1e-6
        spread = particles.inhomogeneity(
            volume,
            shells,
            voxel_size_nm=voxel_size_nm,
            error_draws=draws,
            correlation_length_nm=correlated_nm[name],
            estimate="posterior mean" if error_draws else "unbiased",
        )
        means[name], sds[name], errors[name] = profile.mean, profile.sd, profile.standard_error
        spreads[name] = spread.sd
        decays[name] = np.array([spread.decay_nm, *spread.decay_interval_nm]) if varies else np.full(3, np.nan)
    return Shares(values, standard_errors or {}, depth, means, sds, errors, spreads, decays, verdicts or {})


@dataclass(frozen=True, eq=False)
class Estimates:
    """What one linear estimate makes of the measured images and of the null's, at the voxels of the mask."""

    names: tuple[str, ...]
    mask: Bools
    measured: Floats32
    null: Floats32

    def volume(self, values: Floats32, name: str) -> Floats32:
        """Return values (state, voxel) of one state as a volume, NaN outside."""
        volume = np.full(self.mask.shape, np.nan, dtype=np.float32)
        volume[self.mask] = values[self.names.index(name)]
        return volume

    def null_volumes(self, name: str) -> Iterator[Floats32]:
        """Yield one state of each draw."""
        for draw in self.null:
            yield self.volume(draw, name)


def estimates(
    data: FractionData, names: tuple[str, ...], prior: Prior, *, rng: np.random.Generator, n_draws: int = N_NULL_DRAWS
) -> Estimates:
    """Estimate fractions with one fixed prior from the images, and from noise on the images of the constant map.

    Settings chosen from the data would have to be chosen for each draw, a hundred times as slow; a fixed prior treats
    all alike.
    """
    operator = Operator(data)
    noise = Noise(operator)
    solver = Solver(operator, noise, prior, tolerance=LOOSE)

    def at_voxels(departure: Floats32) -> Floats32:
        return operator.to_volumes(np.matmul(operator.basis, solver(departure)))[:, data.mask]

    measured = at_voxels(operator.from_images(data.images) - operator.constant)
    null = np.stack([at_voxels(null_images(operator, noise, rng)) for _ in range(n_draws)])
    mean = data.mean_fractions.astype(np.float32)[:, None]
    return Estimates(names, data.mask, measured + mean, null + mean)


def judge(estimated: Estimates, shells: Shells, voxel_size_nm: float) -> dict[str, Floats]:
    """Return whether each state is segregated and changes with depth, beside the null: see `Shares`."""
    verdicts: dict[str, Floats] = {}
    for name in estimated.names:
        volume = estimated.volume(estimated.measured, name)
        segregated = particles.segregated(volume, shells, null_draws=estimated.null_volumes(name))
        trend = particles.depth_trend(
            volume, shells, null_draws=estimated.null_volumes(name), voxel_size_nm=voxel_size_nm
        )
        verdicts |= {f"{name} segregated": as_row(segregated), f"{name} depth trend": as_row(trend)}
    return verdicts


def as_row(verdict: Verdict) -> Floats:
    """Return statistic, 95 % interval of the null, and p."""
    low, high = np.quantile(verdict.null, [0.025, 0.975])
    return np.array([verdict.statistic, low, high, verdict.p_value])
