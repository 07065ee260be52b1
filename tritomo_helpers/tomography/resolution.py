"""How fine the result is, from the data alone: two halves of the data, reconstructed apart, compared by frequency."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._validation import check_option, fail
from ..containers import TiltSeries, Tomogram
from ..metrics import FourierShells, fsc, thin_counts
from .methods import check_options, reconstruct


def shell_correlation(
    ts: TiltSeries,
    *,
    method: str,
    split: str = "tilts",
    counts_per_unit: float = 1.0,
    rng: np.random.Generator | None = None,
    axis: int | None = None,
    support: ArrayLike | Tomogram | None = None,
    **options: Any,
) -> FourierShells:
    """Reconstruct two halves of the data apart and correlate them shell by shell.

    Parameters
    ----------
    ts : TiltSeries
    method, support, **options
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
    >>> import numpy as np
    >>> from tritomo_helpers.projection import Projector
    >>> ball = (np.sum((np.indices((16, 16, 16)) - 8) ** 2, axis=0) < 25).astype(float)
    >>> angles = np.arange(-70, 71, 10)
    >>> series = TiltSeries(Projector(angles, (16, 16)).forward(ball), angles, 4.63)
    >>> shells = shell_correlation(series, method="sirt", n_iterations=20)
    >>> bool(shells.correlation[0] > 0.95)
    True
    """
    check_option(split, "split", ("tilts", "counts"))
    check_options(method, options)
    if split == "tilts":
        if ts.n_tilts < 4:
            raise fail("tilts", expected="at least 4 to split", got=ts.n_tilts, remedy="split the counts")
        halves = [
            ts.replace(images=np.asarray(ts.images)[i::2], tilt_angles_deg=ts.tilt_angles_deg[i::2]) for i in (0, 1)
        ]
    else:
        if rng is None:
            raise fail("rng", expected="a Generator", got=None, remedy="give rng=numpy.random.default_rng(seed)")
        parts = thin_counts(np.asarray(ts.images, dtype=np.float64) * counts_per_unit, rng=rng)
        halves = [ts.replace(images=(2 * part / counts_per_unit).astype(np.float32)) for part in parts]
    first, second = (reconstruct(half, method=method, support=support, **options).tomogram.values for half in halves)
    return fsc(first, second, voxel_size_nm=ts.pixel_size_nm, axis=axis)
