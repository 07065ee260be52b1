"""One candidate of a background sweep, before and after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from .._validation import check_shape, checked
from .curves import mark_windows, show_spectrum

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@checked
def show_background_step(
    step: Any,
    counts: ArrayLike,
    energy_ev: ArrayLike,
    *,
    model: ArrayLike,
    count_limits: tuple[float, float] | None = None,
    edge_limits: tuple[float, float] | None = None,
) -> Figure:
    """Show where a background was fitted, and the edge that is left beside the continuum model.

    Parameters
    ----------
    step : eels.SweepStep
        One candidate, from ``eels.sweep_background``.
    counts : array_like, shape (energy,)
        The raw spectrum.
    energy_ev : array_like, shape (energy,)
        Its axis, eV.
    model : array_like, shape (energy,)
        Continuum, barn/eV/atom.
    count_limits, edge_limits : (float, float), optional
        Of the two vertical axes.

    Returns
    -------
    matplotlib Figure
        Two panels: counts, background and windows; and the edge with the straight lines whose slopes are judged.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> energy = np.linspace(600, 766, 500)
    >>> candidate = SimpleNamespace(pre_window_ev=(600, 630), post_window_ev=(711, 766))
    >>> step = SimpleNamespace(
    ...     candidate=candidate, background=energy * 0 + 1, spectrum=energy * 0, pre_slope=0.0, post_slope=0.0
    ... )
    >>> len(show_background_step(step, energy * 0 + 2, energy, model=energy * 0 + 1).axes)
    2
    """
    import matplotlib.pyplot as plt

    energy = np.asarray(energy_ev, dtype=float)
    for name, values in (("counts", counts), ("model", model)):
        check_shape(values, name, energy.shape, remedy="give them on the axis of the step")
    figure, (above, below) = plt.subplots(2, 1, figsize=(5.8, 5.4), sharex=True)
    show_spectrum(counts, energy, ax=above, label="counts", limits=count_limits)
    above.plot(energy, step.background, color="#D55E00", label="background")
    show_spectrum(step.spectrum, energy, ax=below, label="edge", quantity="barn/eV/atom", limits=edge_limits)
    # A model, and not the truth, which alone is black and dashed.
    below.plot(energy, model, label="continuum model", color="0.55", linestyle="-.", linewidth=1.8)
    windows = {"pre": step.candidate.pre_window_ev, "post": step.candidate.post_window_ev}
    for ax in (above, below):
        mark_windows(ax, windows)
        ax.legend(loc="upper center")
    for window, slope in zip(windows.values(), (step.pre_slope, step.post_slope), strict=True):
        x = np.array(window)
        inside = (energy >= x[0]) & (energy <= x[1])
        level = float(np.mean(np.asarray(step.spectrum)[inside]))
        below.plot(x, level + slope * (x - x.mean()), color="#D55E00", linewidth=2.5)
    above.set_xlabel("")
    below.set_xlabel("energy loss (eV)")
    return figure
