"""Errors of composition that no count knows of: calibrated on particles whose truth is known, judged on others."""

from collections.abc import Sequence

import numpy as np
from scipy.special import ndtri

from .._typing import Floats
from ..store.results import Arrays
from .shell_errors import BINS

LEVELS = (0.68, 0.90, 0.95)


def calibrated(tables: Sequence[Arrays]) -> tuple[Floats, Floats]:
    r"""Return what means of shells of another particle are off by: an offset, and an error beyond the stated ones.

    .. math:: b_e = \langle \hat f - f \rangle, \qquad
              τ_e^2 = \frac{n + 1}{n - 1}\, \big\langle (\hat f - f - b_e)^2 - σ^2 \big\rangle

    over draws, shells and n particles, each particle with the same weight. The offset is what k-factors from particles
    of known composition take up; the factor turns the spread of n particles into the error of the next one.

    Parameters
    ----------
    tables : sequence of mapping
        ``study/shell-errors/...`` of two or more particles to calibrate with.

    Returns
    -------
    offset, extra : ndarray, shape (element,)
        Fractions. `extra` is 0 where the standard errors are large enough.

    Examples
    --------
    >>> tables = [{"off": np.full((1, 1, 4), off), "standard_error": np.full((1, 4), 0.1)} for off in (0.5, 1.1)]
    >>> offset, extra = calibrated(tables)
    >>> offset.round(3), extra.round(3)
    (array([0.8]), array([0.49]))
    """
    n = len(tables)
    offset = np.mean([t["off"].mean(axis=(0, 2)) for t in tables], axis=0)
    excess = [
        np.mean(np.square(t["off"] - offset[:, None]) - np.square(t["standard_error"]), axis=(0, 2)) for t in tables
    ]
    return offset, np.sqrt(np.maximum((n + 1) / (n - 1) * np.mean(excess, axis=0), 0.0))


def held(table: Arrays, offset: Floats | float = 0.0, extra: Floats | float = 0.0) -> Floats:
    """Share of draws and shells in which an interval holds the truth, (element, level), as stated or calibrated."""
    off = table["off"] - np.reshape(offset, (-1, 1))
    within = np.abs(off) / np.hypot(table["standard_error"], np.reshape(extra, (-1, 1)))
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
        ``offset``, ``extra``, ``widening``: (particle, element), what the others gave.
    """
    others = [[other for other in tables if other is not table] for table in tables]
    given = [calibrated(rest) for rest in others]
    factors = np.array([widening(rest) for rest in others])
    shells = [[held(t), held(t, *g)] for t, g in zip(tables, given, strict=True)]
    voxels = [[held_by_voxels(t), held_by_voxels(t, f)] for t, f in zip(tables, factors, strict=True)]
    offset, extra = (np.array(column) for column in zip(*given, strict=True))
    return {
        "shells": np.mean(shells, axis=0),
        "voxels": np.mean(voxels, axis=0),
        "offset": offset,
        "extra": extra,
        "widening": factors,
    }
