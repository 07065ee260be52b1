"""Errors of composition that no count knows of: calibrated on particles whose truth is known, judged on others."""

from collections.abc import Sequence

import numpy as np
from scipy.special import ndtri

from .._typing import Floats
from ..store.results import Arrays
from .shell_errors import BINS

LEVELS = (0.68, 0.90, 0.95)


def unexplained(tables: Sequence[Arrays]) -> Floats:
    r"""Root mean square of what means of shells are off by, beyond their standard errors.

    .. math:: τ_e^2 = \big\langle (\hat f - f)^2 - σ^2 \big\rangle

    over draws, shells and particles, each particle with the same weight.

    Parameters
    ----------
    tables : sequence of mapping
        ``study/shell-errors/...`` of the particles to calibrate with.

    Returns
    -------
    ndarray, shape (element,)
        Fractions; 0 where the standard errors are large enough.

    Examples
    --------
    >>> table = {"off": np.array([[[0.5, -0.5]]]), "standard_error": np.array([[0.3, 0.3]])}
    >>> unexplained([table]).round(3)
    array([0.4])
    """
    excess = [np.mean(np.square(t["off"]) - np.square(t["standard_error"]), axis=(0, 2)) for t in tables]
    return np.asarray(np.sqrt(np.maximum(np.mean(excess, axis=0), 0.0)))


def held(table: Arrays, extra: Floats | None = None) -> Floats:
    """Share of draws and shells in which an interval holds the truth, (element, level), with an error added or not."""
    error = table["standard_error"] if extra is None else np.hypot(table["standard_error"], extra[:, None])
    within = np.abs(table["off"]) / error
    return np.stack([np.mean(within < ndtri((1 + level) / 2), axis=(0, 2)) for level in LEVELS], axis=-1)


def widening(tables: Sequence[Arrays]) -> Floats:
    """Factor for the standard errors of voxels that makes 68 % of them hold, (element,)."""
    counted = np.mean([t["misses"] / t["misses"].sum(axis=1, keepdims=True) for t in tables], axis=0)
    ends = np.array([np.interp(LEVELS[0], np.cumsum(row), BINS) for row in counted])
    return np.asarray(ends / ndtri((1 + LEVELS[0]) / 2))


def held_by_voxels(table: Arrays, factor: Floats | None = None) -> Floats:
    """Share of voxels whose interval holds the truth, (element, level), with standard errors times a factor or not."""
    rows = np.cumsum(table["misses"], axis=1) / table["misses"].sum(axis=1, keepdims=True)
    factors = np.ones(len(rows)) if factor is None else factor
    limits = ndtri((1 + np.array(LEVELS)) / 2)
    return np.array([np.interp(f * limits, BINS, row) for row, f in zip(rows, factors, strict=True)])


def judged_on_others(tables: Sequence[Arrays]) -> Arrays:
    """Judge every particle by what the others calibrate.

    Returns
    -------
    dict of str to ndarray
        ``shells``, ``voxels``: share held, mean over the particles, (2, element, level): as stated, and calibrated.
        ``unexplained``, ``widening``: (particle, element), what the others gave.
    """
    others = [[other for other in tables if other is not table] for table in tables]
    extra, factors = (np.array([of(rest) for rest in others]) for of in (unexplained, widening))
    shells = [[held(t), held(t, e)] for t, e in zip(tables, extra, strict=True)]
    voxels = [[held_by_voxels(t), held_by_voxels(t, f)] for t, f in zip(tables, factors, strict=True)]
    return {
        "shells": np.mean(shells, axis=0),
        "voxels": np.mean(voxels, axis=0),
        "unexplained": extra,
        "widening": factors,
    }
