"""One candidate of a background sweep: before, after, and in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from .._validation import check_shape, checked, fail
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


@checked
def model_slope(energy_ev: ArrayLike, model: ArrayLike, window_ev: tuple[float, float]) -> float:
    """Return the slope of the straight line through a continuum model in a window, by least squares.

    Parameters
    ----------
    energy_ev : array_like, shape (energy,)
        Its axis, eV.
    model : array_like, shape (energy,)
        Continuum, barn/eV/atom.
    window_ev : (float, float)
        First and last energy, eV.

    Returns
    -------
    float
        barn/eV²/atom.

    Raises
    ------
    ValueError
        If the shapes differ, or the window holds fewer than two channels.

    Examples
    --------
    >>> round(model_slope([600.0, 610.0, 620.0], [9.0, 8.0, 7.0], (600.0, 620.0)), 3)
    -0.1
    """
    energy, values = np.asarray(energy_ev, dtype=float), np.asarray(model, dtype=float)
    check_shape(values, "model", energy.shape, remedy="give it on the axis")
    inside = (energy >= window_ev[0]) & (energy <= window_ev[1])
    if inside.sum() < 2:
        raise fail("window_ev", expected="two channels at least", got=window_ev, remedy="widen it or move it")
    return float(np.polyfit(energy[inside], values[inside], 1)[0])


@checked
def describe_background_step(step: Any, energy_ev: ArrayLike, *, model: ArrayLike) -> str:
    """Say in words what a candidate of a background sweep is judged by.

    Parameters
    ----------
    step : eels.SweepStep
        One candidate, from ``eels.sweep_background``.
    energy_ev : array_like, shape (energy,)
        Axis of the model, eV.
    model : array_like, shape (energy,)
        Continuum, barn/eV/atom.

    Returns
    -------
    str
        Score and slopes, or that nothing is left of the edge.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> candidate = SimpleNamespace(post_window_ev=(600.0, 620.0))
    >>> step = SimpleNamespace(candidate=candidate, pre_slope=0.0, post_slope=-0.08, score=0.4)
    >>> describe_background_step(step, [600.0, 610.0, 620.0], model=[9.0, 8.0, 7.0])
    'score 0.40; slope before the edge 0.000, behind it −0.080, of the model −0.100 barn/eV²'
    """
    if not np.isfinite(step.post_slope):
        return "rejected: less than nothing is left behind the edge"
    slopes = (step.pre_slope, step.post_slope, model_slope(energy_ev, model, step.candidate.post_window_ev))
    before, behind, wanted = (f"{slope:.3f}".replace("-", "−") for slope in slopes)
    return f"score {step.score:.2f}; slope before the edge {before}, behind it {behind}, of the model {wanted} barn/eV²"
