"""Spectra, profiles and other curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from .._validation import check_increasing, check_ndim, check_shape, checked, fail
from .style import NULL, OURS, PAPER, TRUTH, color_of, typeset

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FALLBACK = ("0.2", "#56B4E9", "#E69F00", "#882255", "#999933", "#117733")
_LINES = ("-", "-.", ":", (0, (5, 1.5, 1, 1.5, 1, 1.5)))  # never dashed: that is the truth
_MARKERS = ("o", "s", "^", "D")


def _axes(ax: Axes | None, figsize: tuple[float, float] | None = None) -> Axes:
    """Return the given axes or those of a new figure."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=figsize)[1]


@checked
def show_spectrum(
    counts: ArrayLike,
    energy_ev: ArrayLike,
    *,
    ax: Axes | None = None,
    label: str = "",
    color: str | None = None,
    edges: Mapping[str, float] | None = None,
    quantity: str = "counts",
    title: str = "",
    range_ev: tuple[float, float] | None = None,
    limits: tuple[float, float] | None = None,
) -> Axes:
    """Show one spectrum against energy in eV, with edges or lines marked.

    Parameters
    ----------
    counts : array_like, shape (energy,)
        The spectrum; NaN leaves a gap.
    energy_ev : array_like, shape (energy,)
        Center of each channel, strictly increasing, eV.
    ax : matplotlib Axes, optional
        Where to draw; a new figure otherwise.
    label : str, default ""
        Name in the legend.
    color : str, optional
        Default: the color of the element or valence state that the label begins with.
    edges : mapping of str to float, optional
        Name, such as ``"Mn L3"``, and energy in eV of what to mark. Those outside the range shown are left out.
    quantity : str, default "counts"
        What the values are, with unit.
    title : str, default ""
        Short title.
    range_ev, limits : (float, float), optional
        What to show of the energy axis and of the counts. By default the range shown fills the picture.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If shapes do not match or the energies do not increase.

    Examples
    --------
    >>> axes = show_spectrum([1, 5, 3], [630, 640, 650], edges={"Mn L3": 640})
    >>> axes.get_xlabel(), [text.get_text() for text in axes.texts]
    ('energy (eV)', ['Mn L3'])
    """
    spectrum = np.asarray(counts, dtype=float)
    check_ndim(spectrum, "counts", "energy")
    return show_spectra(
        [spectrum],
        energy_ev,
        ax=ax,
        labels=[label] if label else (),
        colors=[color] if color else None,
        edges=edges,
        quantity=quantity,
        title=title,
        range_ev=range_ev,
        limits=limits,
    )


@checked
def show_spectra(
    spectra: Sequence[ArrayLike],
    energy_ev: ArrayLike,
    *,
    ax: Axes | None = None,
    labels: Sequence[str] = (),
    colors: Sequence[str] | None = None,
    edges: Mapping[str, float] | None = None,
    quantity: str = "counts",
    title: str = "",
    range_ev: tuple[float, float] | None = None,
    limits: tuple[float, float] | None = None,
    offset: float = 0.0,
) -> Axes:
    """Show spectra on one energy axis, with edges or lines marked.

    Parameters
    ----------
    spectra : sequence of array_like, each of shape (energy,)
        The spectra.
    energy_ev : array_like, shape (energy,)
        Center of each channel, strictly increasing, eV; shared by all.
    labels, colors : sequence of str, optional
        Name in the legend and color of each. A label that begins with an element or valence state brings its color.
    offset : float, default 0
        Added to each spectrum after the first, times its number, so that similar ones can be told apart.
    ax, edges, quantity, title, range_ev, limits
        As for :func:`show_spectrum`.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If shapes do not match or the energies do not increase.

    Examples
    --------
    >>> axes = show_spectra([[1, 5, 3], [2, 4, 3]], [630, 640, 650], labels=["Mn4+", "Mn2+"])
    >>> len(axes.lines)
    2
    """
    energy = check_increasing(energy_ev, "energy_ev")
    if labels and len(labels) != len(spectra):
        raise fail("labels", expected=f"{len(spectra)}, one per spectrum", got=len(labels), remedy="give one each")
    new = ax is None
    ax = _axes(ax)
    shown = np.ones(energy.size, dtype=bool)
    if range_ev is not None:
        shown = (energy >= range_ev[0]) & (energy <= range_ev[1])
        if not shown.any():
            raise fail(
                "range_ev",
                expected=f"a range that meets {energy[0]:g} to {energy[-1]:g} eV",
                got=range_ev,
                remedy="choose a range inside the energy axis",
            )
    fallback = iter(cycle(_FALLBACK))
    for i, counts in enumerate(spectra):
        spectrum = np.asarray(counts, dtype=float)
        check_shape(spectrum, "spectrum", energy.shape, remedy="give one count per channel")
        name = labels[i] if labels else ""
        color = colors[i] if colors else (color_of(name, "") or next(fallback))
        ax.plot(energy[shown], spectrum[shown] + i * offset, color=color, label=typeset(name) or None, linewidth=1.3)
    ax.margins(x=0)
    ax.set(xlabel="energy (eV)", ylabel=quantity)
    if limits is not None:
        ax.set_ylim(*limits)
    if edges:
        _mark_edges(ax, edges, (float(energy[shown][0]), float(energy[shown][-1])))
    # Above the marks of the edges when there are some.
    ax.set_title(title, pad=46 if edges and title else None)
    if any(labels):
        ax.legend()
    if new:
        ax.figure.align_labels()
    return ax


def _mark_edges(ax: Axes, edges: Mapping[str, float], span: tuple[float, float]) -> None:
    """Draw a thin line in the color of the element at each edge, its name upright above the axes."""
    inside = sorted((e, name) for name, e in edges.items() if span[0] <= e <= span[1])
    # Names closer than this would run into each other: the later one is moved to the right.
    gap = 0.05 * (span[1] - span[0])
    last = -np.inf
    for energy, name in inside:
        color = color_of(name)
        ax.axvline(energy, color=color, linewidth=1, linestyle=":", zorder=0.5)
        at = max(energy, last + gap)
        last = at
        ax.annotate(
            name,
            xy=(energy, 1.0),
            xytext=(at, 1.02),
            xycoords=ax.get_xaxis_transform(),
            textcoords=ax.get_xaxis_transform(),
            rotation=90,
            ha="center",
            va="bottom",
            color=color,
            fontsize=11,
            annotation_clip=False,
        )


@checked
def mark_windows(ax: Axes, windows_ev: Mapping[str, tuple[float, float]], *, color: str = "0.6") -> Axes:
    """Shade energy windows and write their names into them.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes with energies in eV along x.
    windows_ev : mapping of str to (float, float)
        Name and (low, high), eV.
    color : str, default gray
        Color of windows whose name does not begin with an element.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If a window is not (low, high) with low < high.

    Examples
    --------
    >>> axes = show_spectrum([1, 5, 3], [630, 640, 650])
    >>> len(mark_windows(axes, {"fit": (630, 635)}).patches)
    1
    """
    for name, (low, high) in windows_ev.items():
        if not low < high:
            raise fail(name, expected="(low, high) with low < high", got=(low, high), remedy="swap the two energies")
        shade = color_of(name, color)
        ax.axvspan(low, high, color=shade, alpha=0.2, linewidth=0, zorder=0.4)
        ax.text((low + high) / 2, 0.97, name, transform=ax.get_xaxis_transform(), ha="center", va="top", fontsize=10)
    return ax


@checked
def show_curves(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    x_label: str,
    y_label: str,
    ax: Axes | None = None,
    title: str = "",
    range_x: tuple[float, float] | None = None,
    limits: tuple[float, float] | None = None,
    zero_line: bool = False,
    points: bool = False,
    emphasize: str = "",
) -> Axes:
    """Show named curves in one pair of axes.

    Parameters
    ----------
    curves : mapping of str to (x, y)
        Name and coordinates, array_like of shape (n,). A name that begins with an element or valence state brings its
        color, the one called ``"truth"`` is dashed black; others take shades from dark to light in the order given.
    x_label, y_label : str
        What the axes are, with unit.
    ax, title
        As for :func:`show_spectrum`.
    range_x, limits : (float, float), optional
        What to show of x and of y.
    zero_line : bool, default False
        Draw a thin line at y = 0.
    points : bool, default False
        Markers without lines, where x counts things that nothing lies between, such as methods.
    emphasize : str, optional
        Name of the curve to draw thick and black, such as the mean of the others.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If x and y of a curve differ in shape, or there is no curve to emphasize.

    Examples
    --------
    >>> axes = show_curves({"C/2": ([0, 1], [4.2, 3.0])}, x_label="capacity (Ah)", y_label="cell voltage (V)")
    >>> axes.get_ylabel()
    'cell voltage (V)'
    """
    import matplotlib as mpl

    if emphasize and emphasize not in curves:
        raise fail(
            "emphasize", expected=f"one of {list(curves)}", got=repr(emphasize), remedy="give the name of a curve"
        )
    new = ax is None
    ax = _axes(ax)
    plain = [name for name in curves if not color_of(name, "") and name not in ("truth", emphasize)]
    shades = mpl.colormaps["viridis"](np.linspace(0.0, 0.68, max(len(plain), 1)))
    if zero_line:
        ax.axhline(0, color="0.6", linewidth=0.8, zorder=0.5)
    for name, (x, y) in curves.items():
        horizontal, vertical = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
        check_shape(vertical, name, horizontal.shape, remedy="give one y for each x")
        if name == "truth":
            ax.plot(horizontal, vertical, label=name, **TRUTH)
            continue
        if name == emphasize:
            look: dict[str, Any] = {"color": "black", "linewidth": 3}
        else:
            look = {"color": color_of(name, "") or tuple(shades[plain.index(name)])}
        # Colors alone are not enough for everybody, nor in print.
        number = plain.index(name) if name in plain else 0
        look |= {"linestyle": "none", "marker": _MARKERS[number % len(_MARKERS)]} if points else {}
        ax.plot(horizontal, vertical, label=typeset(name), **{"linestyle": _LINES[number % len(_LINES)], **look})
    ax.set(xlabel=x_label, ylabel=y_label, title=title)
    if range_x is not None:
        ax.set_xlim(*range_x)
    if limits is not None:
        ax.set_ylim(*limits)
    if len(curves) > 1:
        _add_legend(ax, new=new)
    return ax


@checked
def show_profiles(
    profiles: Mapping[str, ArrayLike],
    x: ArrayLike,
    *,
    x_label: str,
    y_label: str,
    errors: Mapping[str, ArrayLike] | None = None,
    truth: Mapping[str, ArrayLike] | None = None,
    null: tuple[ArrayLike, ArrayLike] | None = None,
    ax: Axes | None = None,
    title: str = "",
) -> Axes:
    """Show measured profiles with their intervals, the truth dashed and the null as a gray band.

    Parameters
    ----------
    profiles : mapping of str to array_like, shape (n,)
        Name and measured values; a name that begins with an element or valence state brings its color.
    x : array_like, shape (n,)
        Coordinate, such as depth in nm.
    x_label, y_label : str
        What the axes are, with unit.
    errors : mapping of str to array_like, optional
        Half width of the interval of each measured value.
    truth : mapping of str to array_like, optional
        Truth for each name.
    null : (low, high), optional
        Band that the null covers.
    ax, title
        As for :func:`show_spectrum`.

    Returns
    -------
    matplotlib Axes

    Examples
    --------
    >>> axes = show_profiles({"Mn": [1, 2]}, [0, 5], x_label="depth (nm)", y_label="at%", truth={"Mn": [1, 1]})
    >>> [line.get_linestyle() for line in axes.lines][-1]
    '--'
    """
    new = ax is None
    ax = _axes(ax)
    position = np.asarray(x, dtype=float)
    for name, values in profiles.items():
        check_shape(values, f"profiles[{name!r}]", position.shape, remedy="give one value for each of x")
    fallback = iter(cycle(_FALLBACK))
    if null is not None:
        ax.fill_between(position, np.asarray(null[0], float), np.asarray(null[1], float), label="null", **NULL)
    for name, values in profiles.items():
        color = color_of(name, "") or next(fallback)
        error = None if errors is None or name not in errors else np.asarray(errors[name], dtype=float)
        ax.errorbar(position, np.asarray(values, dtype=float), error, label=typeset(name), color=color, **OURS)
    for i, values in enumerate((truth or {}).values()):
        ax.plot(position, np.asarray(values, dtype=float), label="truth" if i == 0 else None, **TRUTH)
    ax.set(xlabel=x_label, ylabel=y_label, title=title)
    _add_legend(ax, new=new)
    return ax


def _add_legend(ax: Axes, *, new: bool) -> None:
    """Put the legend above a figure of our own, where it hides nothing, and inside axes that were given."""
    if not new:
        ax.legend()
        return
    names = ax.get_legend_handles_labels()[1]
    # As many as fill the width of a line.
    ncols = max(1, min(len(names), 40 // (max(map(len, names)) + 4)))
    ax.figure.legend(loc="outside upper center", ncols=ncols, columnspacing=1.2)


@checked
def show_paper_values(ax: Axes, x: ArrayLike, y: ArrayLike, *, label: str = "", color: str | None = None) -> Axes:
    """Add values quoted from the paper as hollow markers.

    Parameters
    ----------
    ax : matplotlib Axes
        Where to draw.
    x, y : array_like, shape (n,)
        Coordinates.
    label : str, default ""
        What the values are; an element or valence state at its beginning brings its color.
    color : str, optional
        Color of the rim instead.

    Returns
    -------
    matplotlib Axes

    Examples
    --------
    >>> axes = show_curves({"Mn": ([0, 1], [1, 2])}, x_label="cycles", y_label="at%")
    >>> show_paper_values(axes, [0], [1], label="Mn, paper").lines[-1].get_markerfacecolor()
    'white'
    """
    rim = color or color_of(label)
    ax.plot(np.asarray(x, dtype=float), np.asarray(y, dtype=float), label=label or None, markeredgecolor=rim, **PAPER)
    if label:
        ax.legend()
    return ax
