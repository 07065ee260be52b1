"""Scores that need no truth: tilts that were left out, and halves of the data compared by frequency."""

from typing import Unpack

import numpy as np
from numpy.typing import ArrayLike

from .._validation import check_count, check_option, checked, fail
from ..containers import TiltSeries, Tomogram
from ..metrics import FourierShells, fsc, thin_counts
from . import selection
from .options import FitOptions, Method, MethodName, settings_of
from .problem import check_problem
from .reconstruction import reconstruct


@checked
def held_out_error(
    ts: TiltSeries,
    *,
    method: MethodName | Method,
    support: ArrayLike | Tomogram | None = None,
    positivity: bool = True,
    n_z: int | None = None,
    weights: ArrayLike | None = None,
    n_folds: int = selection.N_FOLDS,
    **options: Unpack[FitOptions],
) -> float:
    """Error of predicting tilts that were left out: a score that needs no truth.

    Every fourth tilt (never the first or last) is left out, the rest is reconstructed (any stop or weight is chosen
    from the rest alone), reprojected and compared; then the next fourth, `n_folds` times.

    Parameters
    ----------
    ts, method, support, positivity, n_z, weights, **options
        As `reconstruct`.
    n_folds : int, default 4
        1 to 4; with 4 each inner tilt is left out once.

    Returns
    -------
    float
        Mean of ``norm(prediction - images) / norm(images)``. Noise in the images sets a floor.

    Raises
    ------
    ValueError
        As `reconstruct`, or if there are fewer than 4 tilts.

    Examples
    --------
    >>> from tritomo_helpers.projection import Projector
    >>> ball = (np.sum((np.indices((16, 16, 16)) - 8) ** 2, axis=0) < 25).astype(float)
    >>> angles = np.arange(-70, 71, 10)
    >>> series = TiltSeries(Projector(angles, (16, 16)).forward(ball), angles, 4.63)
    >>> error = {m: held_out_error(series, method=m, n_folds=1) for m in ("wbp", "sirt")}
    >>> error["sirt"] < error["wbp"]
    True
    """
    settings = settings_of(method, options)
    n_folds = check_count(
        n_folds, "n_folds", largest=selection.N_FOLDS, remedy="each fold leaves out every fourth tilt"
    )
    problem = check_problem(ts, support=support, positivity=positivity, n_z=n_z, weights=weights)
    splits = selection.split_tilts(problem, n_folds)
    return float(np.mean([split.error(settings.solve(split.train).volume) for split in splits]))


@checked
def shell_correlation(
    ts: TiltSeries,
    *,
    method: MethodName | Method,
    split: str = "tilts",
    counts_per_unit: float = 1.0,
    rng: np.random.Generator | None = None,
    axis: int | None = None,
    support: ArrayLike | Tomogram | None = None,
    **options: Unpack[FitOptions],
) -> FourierShells:
    """Reconstruct two halves of the data apart and correlate them shell by shell.

    Parameters
    ----------
    ts, method, support, **options
        As `reconstruct`. Give stops and weights, or each half chooses its own.
    split : {"tilts", "counts"}, default "tilts"
        Even against odd tilts: sees too few tilts as well as noise, each half having twice the step. Or every count
        thrown into one of two halves: sees noise alone, because what both halves lack they lack alike.
    counts_per_unit : float, default 1
        For ``"counts"``: the images times this are Poisson counts.
    rng : numpy.random.Generator
        For ``"counts"``.
    axis : {0, 1, 2}, optional
        Only the cone about this axis; 0 is z, the middle of the missing wedge.

    Returns
    -------
    FourierShells

    Raises
    ------
    ValueError
        As `reconstruct`; if there are fewer than 4 tilts to split, or no `rng` for counts.

    Notes
    -----
    A common support, positivity and a common wedge correlate the halves by themselves. So this is a bound on what is
    there, never a proof: compare with the truth of a twin, or with a second experiment.

    References
    ----------
    Harauz and van Heel, Optik 73, 146 (1986).

    Examples
    --------
    >>> from tritomo_helpers.projection import Projector
    >>> ball = (np.sum((np.indices((16, 16, 16)) - 8) ** 2, axis=0) < 25).astype(float)
    >>> angles = np.arange(-70, 71, 10)
    >>> series = TiltSeries(Projector(angles, (16, 16)).forward(ball), angles, 4.63)
    >>> shells = shell_correlation(series, method="sirt", n_iterations=20)
    >>> bool(shells.correlation[0] > 0.95)
    True
    """
    check_option(split, "split", ("tilts", "counts"))
    settings = settings_of(method, options)
    images = np.asarray(ts.images)
    if split == "tilts":
        if ts.n_tilts < 4:
            raise fail("tilts", expected="at least 4 to split", got=ts.n_tilts, remedy="split the counts")
        halves = [ts.replace(images=images[i::2], tilt_angles_deg=ts.tilt_angles_deg[i::2]) for i in (0, 1)]
    else:
        if rng is None:
            raise fail("rng", expected="a Generator", got=None, remedy="give rng=numpy.random.default_rng(seed)")
        missing = np.isnan(images)
        thinned = thin_counts(np.where(missing, 0, images).astype(np.float64) * counts_per_unit, rng=rng)
        halves = [ts.replace(images=np.where(missing, np.nan, 2 * half / counts_per_unit)) for half in thinned]
    first, second = (reconstruct(half, method=settings, support=support).tomogram.values for half in halves)
    return fsc(first, second, voxel_size_nm=ts.pixel_size_nm, axis=axis)
