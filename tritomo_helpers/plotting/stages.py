"""What happens to a quantity over the stages of cycling: means of particles, and their profiles against depth."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from .._typing import Floats
from .._validation import check_ndim, check_shape, checked, fail
from .style import NULL, OURS, PAPER, TRUTH, color_of, typeset

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LOOKS: Mapping[str, Mapping[str, Any]] = {
    "best": {"marker": "o"},
    "paper": {"marker": "s", "alpha": 0.55, "linestyle": ":"},
}
"""By method: both are ours, and filled."""
_DASH: Mapping[str, Any] = {"colors": "black", "linestyles": "-", "linewidth": 1.6, "zorder": 3}
"""The truth of a single particle is too short for dashes."""
_STAGE_MARKERS = ("o", "s", "^", "D")
_COLUMNS = 2
_WIDTH = 5.6
_NARROW = 5.0


@dataclass(frozen=True, eq=False)
class StageSeries:
    """One quantity against the number of cycles.

    Parameters
    ----------
    name : str
        With its unit, such as ``"O (at%)"``; an element or valence state at its beginning brings its color.
    cycles : ndarray, shape (stage,)
    truth : ndarray, shape (stage,)
        Of the twin.
    methods : mapping of str to ndarray of shape (stage, 2)
        ``"best"`` and ``"paper"``: mean and half width of its interval.
    quoted : ndarray, shape (stage, 2)
        Low and high end of what the paper states, NaN where it states nothing.
    null : ndarray, shape (stage, 2), optional
        Band that particles without the effect give.
    """

    name: str
    cycles: Floats
    truth: Floats
    methods: Mapping[str, Floats]
    quoted: Floats
    null: Floats | None = None


@dataclass(frozen=True, eq=False)
class StageCurves:
    """One quantity against depth, a curve for each stage.

    Parameters
    ----------
    name : str
        With its unit.
    stages : tuple of str
        Names for the legend.
    depth_nm, mean, sd : sequence of ndarray of shape (shell,), one a stage
        Mean over the particles and standard deviation between them.
    truth : sequence of (depth_nm, mean), one a stage
    """

    name: str
    stages: tuple[str, ...]
    depth_nm: Sequence[Floats]
    mean: Sequence[Floats]
    sd: Sequence[Floats]
    truth: Sequence[tuple[Floats, Floats]] = field(default_factory=tuple)


@checked
def show_stage_series(series: Sequence[StageSeries]) -> list[Axes]:
    """Show quantities against cycles: truth dashed, quoted hollow, both methods filled, the null gray.

    Parameters
    ----------
    series : sequence of StageSeries

    Returns
    -------
    list of matplotlib Axes
        One a quantity.

    Raises
    ------
    ValueError
        If there is none.

    Examples
    --------
    >>> nothing = np.full((2, 2), np.nan)
    >>> oxygen = StageSeries("O (at%)", np.array([0, 200]), np.array([66.7, 61]), {"best": np.ones((2, 2))}, nothing)
    >>> show_stage_series([oxygen])[0].get_ylabel()
    'O (at%)'
    """
    axes = _grid(len(series), "series", height=2.1)
    for ax, one_series in zip(axes, series, strict=True):
        _draw_series(ax, one_series)
    for ax in axes[-_COLUMNS:]:
        ax.set_xlabel("cycles")
    _shared_legend(axes)
    return axes


def _draw_series(ax: Axes, series: StageSeries) -> None:
    color = color_of(series.name)
    # Beside each other, or the bars would cover each other.
    apart = 0.02 * np.ptp(series.cycles)
    if series.null is not None:
        ax.fill_between(series.cycles, *series.null.T, label="null", **NULL)
    for number, (method, values) in enumerate(series.methods.items()):
        at = series.cycles + apart * (number - 0.5)
        look = {**OURS, "color": color, **_LOOKS.get(method, {}), "label": f"{method} method"}
        ax.errorbar(at, values[:, 0], np.where(np.isfinite(values[:, 0]), values[:, 1], np.nan), **look)
    ax.plot(series.cycles, series.truth, label="truth of the twin", **TRUTH)
    middle, half = series.quoted.mean(axis=1), np.ptp(series.quoted, axis=1) / 2
    if np.isfinite(middle).any():
        look = {**PAPER, "capsize": 3, "ecolor": color, "markeredgecolor": color, "zorder": 4}
        ax.errorbar(series.cycles, middle, half, label="quoted from the paper", **look)
    ax.set(ylabel=typeset(series.name), xticks=series.cycles)


@checked
def show_particles(
    values: ArrayLike,
    cycles: ArrayLike,
    *,
    intervals: ArrayLike,
    name: str,
    truth: ArrayLike | None = None,
    quoted: tuple[ArrayLike, ArrayLike] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Show a quantity of every particle with its interval against cycles, the truth dashed, the quoted hollow.

    Parameters
    ----------
    values : array_like, shape (particle,)
        Measured.
    cycles : array_like, shape (particle,)
        Those of one stage are drawn beside each other.
    intervals : array_like, shape (particle, 2)
        Low and high end.
    name : str
        Quantity with its unit; an element or valence state at its beginning brings its color.
    truth : array_like, shape (particle,), optional
    quoted : (cycles, ends), optional
        Number of cycles, shape (stage,), and low and high end, shape (stage, 2), of what the paper states.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Examples
    --------
    >>> axes = show_particles([67, 61], [0, 200], intervals=[[66, 68], [60, 62]], name="O (at%)")
    >>> axes.get_ylabel()
    'O (at%)'
    """
    import matplotlib.pyplot as plt

    new = ax is None
    axes: Axes = plt.subplots()[1] if ax is None else ax
    measured, stage = np.asarray(values, dtype=float), np.asarray(cycles, dtype=float)
    check_ndim(measured, "values", "particle")
    check_shape(stage, "cycles", measured.shape, remedy="give one number for each particle")
    ends = np.asarray(intervals, dtype=float)
    check_shape(ends, "intervals", (*measured.shape, 2), remedy="give a low and a high end for each particle")
    low, high = ends.T
    apart = 0.035 * (np.ptp(stage) or 1)
    at = stage.copy()
    for here in np.unique(stage):
        n = np.count_nonzero(stage == here)
        at[stage == here] += apart * (np.arange(n) - (n - 1) / 2)
    color = color_of(name)
    axes.vlines(at, low, high, color=color, linewidth=1.6)
    axes.plot(at, measured, color=color, linestyle="none", marker=OURS["marker"], label="measured (95 %)")
    if truth is not None:
        axes.hlines(
            np.asarray(truth, dtype=float), at - 0.4 * apart, at + 0.4 * apart, label="truth of the twin", **_DASH
        )
    if quoted is not None:
        stated = np.asarray(quoted[1], dtype=float)
        left = np.asarray(quoted[0], dtype=float) - 3 * apart
        hollow = {**PAPER, "capsize": 3, "ecolor": color, "markeredgecolor": color, "label": "quoted from the paper"}
        axes.errorbar(left, stated.mean(axis=1), np.ptp(stated, axis=1) / 2, **hollow)
    axes.set(xlabel="cycles", ylabel=typeset(name), xticks=np.unique(stage))
    if new:
        _shared_legend([axes])
    else:
        axes.legend()
    return axes


@checked
def show_stage_curves(columns: Mapping[str, Sequence[StageCurves]]) -> list[list[Axes]]:
    """Show quantities against depth, a row a quantity and a column a method, with a curve for each stage.

    Parameters
    ----------
    columns : mapping of str to sequence of StageCurves
        Title of the column and its quantities, the same in every column.

    Returns
    -------
    list of list of matplotlib Axes
        Rows of columns; a row shares its limits.

    Raises
    ------
    ValueError
        If there is nothing to show, or the columns differ in their quantities.

    Examples
    --------
    >>> depth, flat = [np.array([2.0, 6.0])], [np.array([66.0, 66.0])]
    >>> oxygen = StageCurves("O (at%)", ("pristine",), depth, flat, [np.zeros(2)], [(depth[0], flat[0])])
    >>> show_stage_curves({"best method": [oxygen]})[0][0].get_ylabel()
    'O (at%)'
    """
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    names = [[curves.name for curves in column] for column in columns.values()]
    if not names or not names[0] or any(row != names[0] for row in names):
        raise fail("columns", expected="the same quantities in every column", got=names, remedy="give each method all")
    n_rows = len(names[0])
    figure, grid = plt.subplots(
        n_rows, len(columns), sharex=True, sharey="row", squeeze=False, figsize=(_WIDTH, 1.0 + 1.8 * n_rows)
    )
    for at, (title, column) in enumerate(columns.items()):
        grid[0, at].set_title(title)
        grid[-1, at].set_xlabel("depth (nm)")
        for ax, curves in zip(grid[:, at], column, strict=True):
            shades = mpl.colormaps["viridis"](np.linspace(0.0, 0.85, len(curves.stages)))
            for stage, depth, mean, sd, shade, marker in zip(
                curves.stages, curves.depth_nm, curves.mean, curves.sd, shades, _STAGE_MARKERS, strict=False
            ):
                look = {**OURS, "color": tuple(shade), "marker": marker, "markersize": 4, "capsize": 2}
                ax.errorbar(depth, mean, sd, label=stage, **look)
            for number, (depth, mean) in enumerate(curves.truth):
                ax.plot(depth, mean, label="truth of the twin" if number == 0 else None, **TRUTH)
    for ax, name in zip(grid[:, 0], names[0], strict=True):
        ax.set_ylabel(typeset(name))
    figure.align_labels()
    _shared_legend(grid.ravel().tolist())
    return [list(row) for row in grid]


Curve = tuple[ArrayLike, ArrayLike, ArrayLike]
"""Depth in nm, mean, and half the length of its bar, shape (shell,)."""


def show_particle_profiles(
    rows: Mapping[str, Mapping[str, Sequence[Curve]]],
    *,
    truth: Mapping[str, Mapping[str, Sequence[Curve]]] | None = None,
) -> list[list[Axes]]:
    """Show quantities of single particles against depth, a row a quantity and a column a stage.

    Parameters
    ----------
    rows : mapping of str to mapping of str to sequence of (depth_nm, mean, sd)
        Quantity with its unit, then stage, then its particles; an element or valence state at the beginning of a
        quantity brings its color.
    truth : mapping like `rows`, optional
        Drawn as lines without bars.

    Returns
    -------
    list of list of matplotlib Axes
        A row shares its limits.

    Raises
    ------
    ValueError
        If there is nothing to show, or quantities differ in their stages.

    Examples
    --------
    >>> flat = [([2.0, 6.0], [66.0, 66.5], [0.1, 0.1])]
    >>> grid = show_particle_profiles({"O (at%)": {"pristine": flat, "50 cycles": flat}})
    >>> len(grid), grid[0][1].get_title()
    (1, '50 cycles')
    """
    import matplotlib.pyplot as plt

    stages = [tuple(of_stage) for of_stage in rows.values()]
    if not stages or not stages[0] or any(names != stages[0] for names in stages):
        raise fail("rows", expected="the same stages for every quantity", got=stages, remedy="give every quantity all")
    figure, grid = plt.subplots(
        len(rows), len(stages[0]), sharex=True, sharey="row", squeeze=False, figsize=(_WIDTH, 1.0 + 1.5 * len(rows))
    )
    for line, (name, of_stage) in zip(grid, rows.items(), strict=True):
        color = color_of(name, "black")
        for ax, (stage, particles) in zip(line, of_stage.items(), strict=True):
            for number, (depth, mean, sd) in enumerate(particles):
                look = {**OURS, "markersize": 3, "linewidth": 0.8, "elinewidth": 0.6, **_particle_look(number, color)}
                ax.errorbar(depth, mean, sd, **look)
            for number, (depth, mean, _) in enumerate((truth or {}).get(name, {}).get(stage, ())):
                ax.plot(depth, mean, label=None if number else "truth of the twin", **TRUTH)
        line[0].set_ylabel(typeset(name))
    for ax, stage in zip(grid[0], stages[0], strict=True):
        ax.set_title(stage)
    for ax in grid[-1]:
        ax.set_xlabel("depth (nm)")
    # The legend is gray, since a particle has the color of the quantity in every row.
    most = max(len(particles) for of_stage in rows.values() for particles in of_stage.values())
    for number in range(most):
        grid[0, 0].plot([], [], label=f"particle {number + 1}", markersize=4, **_particle_look(number, "0.75"))
    figure.align_labels()
    _shared_legend(grid.ravel().tolist())
    return [list(line) for line in grid]


def _particle_look(number: int, color: str) -> dict[str, Any]:
    """Return marker and color of a particle of a stage: the color of its quantity, darker for each one more."""
    from matplotlib.colors import to_rgb

    darker = np.array(to_rgb(color)) * max(0.25, 1 - 0.25 * number)
    return {"marker": _STAGE_MARKERS[number % len(_STAGE_MARKERS)], "color": tuple(darker)}


@checked
def show_distances(
    names: Sequence[str],
    distances: ArrayLike,
    *,
    limit: float = 20.0,
    band: str = "null",
    absence: Sequence[bool] | None = None,
) -> Axes:
    """Show how far numbers lie from the middle of their nulls, one a line, the null as a gray band.

    Parameters
    ----------
    names : sequence of str
        From the top down.
    distances : array_like, shape (name,)
        In half widths of the null; NaN leaves the line empty.
    limit : float, default 20
        What lies beyond is drawn at the edge, as an arrow.
    band : str
        What the gray band is.
    absence : sequence of bool, optional
        Whether each number has to lie inside, since the claim is that nothing differs: drawn as a square.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If there is not one distance for each name.

    Examples
    --------
    >>> axes = show_distances(["oxygen falls", "rich voxels"], [30.0, 0.5])
    >>> [text.get_text() for text in axes.get_yticklabels()]
    ['oxygen falls', 'rich voxels']
    """
    import matplotlib.pyplot as plt

    values = np.asarray(distances, dtype=float)
    check_shape(values, "distances", (len(names),), remedy="give one for each name")
    lines = np.arange(len(names))
    wrapped = [textwrap.fill(name, 36) for name in names]  # narrow, so that it can be read on a phone
    axes: Axes = plt.subplots(figsize=(_NARROW, 0.9 + 0.42 * len(names)))[1]
    axes.axvspan(-1, 1, label=band, **NULL)
    inside = np.abs(values) <= limit
    square = np.zeros(len(names), dtype=bool) if absence is None else np.asarray(absence, dtype=bool)
    for kind, marker, label in ((~square, "o", "measured"), (square, "s", "claim of no difference")):
        if kind.any():
            axes.plot(values[inside & kind], lines[inside & kind], marker, color="black", label=label)
    for side, marker in ((-1, "<"), (1, ">")):
        beyond = np.sign(values) * (np.abs(values) > limit) == side
        axes.plot(np.full(beyond.sum(), side * limit), lines[beyond], marker, color="black")
    axes.set_xscale("symlog", linthresh=1)
    axes.set(xlim=(-1.3 * limit, 1.3 * limit), ylim=(len(names) - 0.5, -0.5))
    axes.set_yticks(lines, wrapped, fontsize=9)
    axes.set_xlabel(f"half widths of the {band}")
    axes.set_xticks([-10, -1, 0, 1, 10], ["\N{MINUS SIGN}10", "\N{MINUS SIGN}1", "0", "1", "10"])
    axes.grid(visible=True, axis="y", color="0.92")
    _shared_legend([axes])
    return axes


def _grid(n: int, what: str, *, height: float) -> list[Axes]:
    """Return n axes in rows of two, all with the same x."""
    import matplotlib.pyplot as plt

    if n == 0:
        raise fail(what, expected="at least one", got="none", remedy="give what to show")
    n_rows = -(-n // _COLUMNS)
    columns = min(n, _COLUMNS)
    figure, grid = plt.subplots(n_rows, columns, squeeze=False, figsize=(_WIDTH, 0.9 + height * n_rows))
    axes = grid.ravel().tolist()
    for empty in axes[n:]:
        empty.remove()
    figure.align_labels()
    return axes[:n]


def _shared_legend(axes: Sequence[Axes]) -> None:
    """Put one legend for all above the figure, each name once."""
    entries = {name: handle for ax in axes for handle, name in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure: Any = axes[0].figure
    # As many as fill the width.
    ncols = max(1, min(len(entries), 50 // (max(map(len, entries)) + 4)))
    figure.legend(entries.values(), entries.keys(), loc="outside upper center", ncols=ncols, columnspacing=1.2)
