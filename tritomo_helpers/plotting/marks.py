"""What is drawn on a figure: scale bar, borders of masks, names of its directions, the gap between two values."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from .._validation import check_ndim, check_positive, checked, fail
from .style import color_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def round_length(most: float) -> float:
    """Return the greatest of 1, 2 and 5 times a power of ten that is not above `most`.

    Examples
    --------
    >>> round_length(99.0), round_length(0.03)
    (50.0, 0.02)
    """
    decade = 10.0 ** np.floor(np.log10(most))
    return float(max(step * decade for step in (1, 2, 5) if step * decade <= most))


@checked
def add_scale_bar(ax: Axes, pixel_size_nm: float) -> float:
    """Draw a scale bar of a round length below an image, where it covers nothing, and return that length in nm.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes that show an image with one pixel per unit.
    pixel_size_nm : float
        Side of a pixel, nm.

    Returns
    -------
    float
        Length of the bar, nm: 1, 2 or 5 times a power of ten, a fifth to a half of the width.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> axes = Figure().subplots()
    >>> _ = axes.imshow([[0.0] * 64] * 64)
    >>> add_scale_bar(axes, 4.63)
    100.0
    """
    from matplotlib.font_manager import FontProperties
    from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar

    pixel_size_nm = check_positive(pixel_size_nm, "pixel_size_nm", remedy="give it in nm")
    left, right = sorted(ax.get_xlim())
    width_nm = (right - left) * pixel_size_nm
    length_nm = round_length(0.5 * width_nm)
    top, bottom = ax.get_ylim()
    bar = AnchoredSizeBar(
        ax.transData,
        length_nm / pixel_size_nm,
        _length_text(length_nm),
        "upper left",
        size_vertical=0.018 * abs(bottom - top),
        color="black",
        pad=0.3,
        borderpad=0,
        sep=3,
        frameon=False,
        label_top=False,
        fontproperties=FontProperties(size=11),
        bbox_to_anchor=(0, 0),
        bbox_transform=ax.transAxes,
    )
    bar.set_gid(f"scale bar {length_nm:g} nm")
    ax.add_artist(bar)
    return length_nm


def _length_text(length_nm: float) -> str:
    """Write a length with the unit that keeps it short."""
    if length_nm >= 1000:
        return f"{length_nm / 1000:g} µm"
    return f"{length_nm:g} nm"


@checked
def add_outlines(ax: Axes, masks: Mapping[str, ArrayLike]) -> Axes:
    """Draw the borders of masks on an image, so that one sees what they hold and what they leave out.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes that show the image.
    masks : mapping of str to array_like, each of shape (y, x)
        Name and mask. The one called ``"truth"`` is dashed black; a name that begins with an element or valence state
        brings its color.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If a mask has not two axes, or is empty or full, so that it has no border.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> axes = Figure().subplots()
    >>> add_outlines(axes, {"mask": np.eye(8) > 0}).get_legend_handles_labels()[1]
    ['mask']
    """
    import matplotlib.patheffects as effects

    fallback = iter(cycle(("#E69F00", "#56B4E9", "#F0E442")))
    for name, values in masks.items():
        mask = np.asarray(values, dtype=bool)
        check_ndim(mask, name, "y, x")
        if mask.all() or not mask.any():
            raise fail(name, expected="a mask with a border", got="all alike", remedy="check its threshold")
        truth = name == "truth"
        color = "black" if truth else (color_of(name, "") or next(fallback))
        line: dict[str, Any] = {"colors": [color], "linewidths": 1.6, "linestyles": "--" if truth else "-"}
        # A ring of vacuum closes outlines that touch the border of the image.
        ring = np.pad(mask, 1)
        y, x = (np.arange(-1, n + 1) for n in mask.shape)
        halo = effects.withStroke(linewidth=3.6, foreground="white" if truth else "black", alpha=0.75)
        ax.contour(x, y, ring, levels=[0.5], path_effects=[halo], **line)
        # A proxy for the legend: a contour has no entry of its own.
        ax.plot([], [], color=color, linestyle=line["linestyles"], linewidth=1.6, label=name)
    return ax


def name_directions(ax: Axes, directions: tuple[str, str] | None) -> None:
    """Write beside an image what runs to the right and what down, with arrows.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> axes = Figure().subplots()
    >>> name_directions(axes, ("x", "z"))
    >>> axes.get_xlabel(), axes.get_ylabel()
    ('x →', '← z')
    """
    if directions is not None:
        # At the right, since a scale bar lies below the left.
        ax.set_xlabel(f"{directions[0]} \N{RIGHTWARDS ARROW}", labelpad=2, loc="right")
        # The text is turned upright, its head at the left: an arrow to the left then points down.
        ax.set_ylabel(f"\N{LEFTWARDS ARROW} {directions[1]}", labelpad=2)


@checked
def mark_gap(ax: Axes, x: float, expected: float, seen: float, *, unit: str = "") -> Axes:
    """Mark by how much something seen misses what was expected, with an arrow and the difference.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes that show both.
    x : float
        Where both lie, in units of the axis.
    expected, seen : float
        The arrow points from the first to the second.
    unit : str, default ""
        Written behind the difference.

    Returns
    -------
    matplotlib Axes

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> axes = mark_gap(Figure().subplots(), 200, 44, 11, unit="points")
    >>> [text.get_text() for text in axes.texts if text.get_text()]
    ['−33 points']
    """
    arrow = {"arrowstyle": "-|>", "color": "0.25", "linewidth": 1.6, "shrinkA": 2, "shrinkB": 6}
    ax.annotate("", xy=(x, seen), xytext=(x, expected), arrowprops=arrow)
    words = f"{seen - expected:+.0f} {unit}".rstrip().replace("-", "\N{MINUS SIGN}")
    to_the_left: dict[str, Any] = {"xytext": (-8, 0), "textcoords": "offset points", "ha": "right", "va": "center"}
    ax.annotate(words, (x, (expected + seen) / 2), color="0.25", **to_the_left)
    return ax
