"""A small matrix of numbers, colored and written out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from .._validation import check_ndim, checked, fail

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DARK_BELOW = 0.45  # relative luminance under which white text reads better than black


@checked
def show_matrix(
    values: ArrayLike,
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    row_label: str = "",
    column_label: str = "",
    quantity: str = "",
    limits: tuple[float, float] | None = None,
    fmt: str = ".0f",
) -> Axes:
    """Show a matrix with the names of its rows and columns and its numbers, white where they are zero.

    Parameters
    ----------
    values : array_like, shape (row, column)
        NaN (not measured) is light gray and stays empty.
    rows, columns : sequence of str
        One name each.
    row_label, column_label : str, default ""
        What rows and columns are.
    quantity : str, default ""
        What the values are, with unit, written at the color bar.
    limits : (float, float), optional
        Values at the ends of the color scale; symmetric about zero by default.
    fmt : str, default ".0f"
        How a number is written.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If the names do not match the matrix.

    Examples
    --------
    >>> axes = show_matrix([[95, 5], [-10, 110]], rows=["O", "Mn"], columns=["O", "Mn"])
    >>> [text.get_text() for text in axes.texts]
    ['95', '5', '−10', '110']
    """
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    matrix = np.asarray(values, dtype=float)
    check_ndim(matrix, "values", "row, column")
    if matrix.shape != (len(rows), len(columns)):
        got = f"{len(rows)} and {len(columns)} names for shape {matrix.shape}"
        raise fail("rows, columns", expected="one name for each", got=got, remedy="name every row and column")
    most = float(np.nanmax(np.abs(matrix), initial=0.0)) or 1.0
    low, high = limits or (-most, most)
    figure, ax = plt.subplots(figsize=(5.4, 0.7 + 0.72 * len(rows)))
    colors = mpl.colormaps["RdBu_r"].with_extremes(bad="0.85")
    artist = ax.imshow(matrix, vmin=low, vmax=high, cmap=colors, aspect="auto")
    for (i, j), value in np.ndenumerate(matrix):
        if np.isfinite(value):
            ax.text(j, i, _written(value, fmt), ha="center", va="center", color=_ink(artist.to_rgba(value)))
    ax.set_xticks(range(len(columns)), columns)
    ax.set_yticks(range(len(rows)), rows)
    ax.tick_params(length=0, labeltop=True, labelbottom=False)
    ax.xaxis.set_label_position("top")
    ax.set(xlabel=column_label, ylabel=row_label)
    ax.spines[:].set_visible(False)
    if quantity:
        figure.colorbar(artist, ax=ax, label=quantity, extend="both" if limits else "neither")
    return ax


def _written(value: float, fmt: str) -> str:
    text = f"{value:{fmt}}".replace("-", "\N{MINUS SIGN}")
    return text.removeprefix("\N{MINUS SIGN}") if not text.strip("\N{MINUS SIGN}0.") else text


def _ink(color: Any) -> str:
    """Return the color of a text that can be read on a color."""
    red, green, blue, _ = color
    return "white" if 0.2126 * red + 0.7152 * green + 0.0722 * blue < _DARK_BELOW else "black"
