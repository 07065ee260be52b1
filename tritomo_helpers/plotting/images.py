"""Images with a scale bar and a color bar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._validation import check_count, check_increasing, check_ndim, check_positive, check_shape, checked, fail
from .marks import add_outlines, add_scale_bar, name_directions, round_length
from .style import color_map_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def _limits(images: Sequence[NDArray[Any]], limits: tuple[float, float] | None) -> tuple[float, float]:
    """Return limits shared by all images: the given ones, or the range of the measured values."""
    if limits is not None:
        low, high = limits
        if not low < high:
            raise fail("limits", expected="(low, high) with low < high", got=limits, remedy="swap or widen the limits")
        return float(low), float(high)
    measured = [image[np.isfinite(image)] for image in images]
    values = np.concatenate(measured) if measured else np.zeros(0)
    if values.size == 0:
        raise fail("image", expected="at least one measured pixel", got="only NaN", remedy="check the mask")
    low, high = float(values.min()), float(values.max())
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def _color_map(cmap: Any, quantity: str) -> Any:
    """Return the color map, that of the quantity unless told; not-measured pixels stay light gray."""
    import matplotlib as mpl

    cmap = color_map_of(quantity) if cmap is None else cmap
    return (mpl.colormaps[cmap] if isinstance(cmap, str) else cmap).with_extremes(bad="0.85")


def _draw(axes: Axes, image: NDArray[Any], low: float, high: float, colors: Any, *, pixel_size_nm: float | None) -> Any:
    """Draw one image without axes ticks, above a scale bar when the pixel size is given."""
    artist = axes.imshow(image, vmin=low, vmax=high, cmap=colors)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    if pixel_size_nm is not None:
        add_scale_bar(axes, pixel_size_nm)
    return artist


def _bar_sizes(
    pixel_size_nm: float | Sequence[float] | None, images: Sequence[NDArray[Any]], columns: int
) -> list[float | None]:
    """Return the pixel size of each image that gets a scale bar, None of the others: one does for all of one scale."""
    if isinstance(pixel_size_nm, Sequence):
        return list(pixel_size_nm)
    of_one_scale = len({image.shape for image in images}) == 1
    first_of_last_row = (len(images) - 1) // columns * columns
    return [pixel_size_nm if i == first_of_last_row or not of_one_scale else None for i in range(len(images))]


@checked
def show_image(
    image: ArrayLike,
    *,
    ax: Axes | None = None,
    pixel_size_nm: float | None = None,
    quantity: str = "",
    title: str = "",
    limits: tuple[float, float] | None = None,
    cmap: Any = None,
    directions: tuple[str, str] | None = None,
    outlines: Mapping[str, ArrayLike] | None = None,
) -> Axes:
    """Show one image with its scale bar and color bar.

    Parameters
    ----------
    image : array_like, shape (y, x)
        NaN (not measured) is shown light gray.
    ax : matplotlib Axes, optional
        Where to draw; a new figure otherwise.
    pixel_size_nm : float, optional
        Side of a pixel, nm; gives the scale bar.
    quantity : str, default ""
        What the values are, with unit, written at the color bar; without it there is no color bar.
    title : str, default ""
        Short title.
    limits : (float, float), optional
        Values at the ends of the color bar; the range of the image otherwise.
    directions : (str, str), optional
        What runs to the right and what down, such as ``("x", "z")`` for a slice through a tomogram.
    outlines : mapping of str to array_like, optional
        Masks whose borders are drawn on the image, as by :func:`add_outlines`.
    cmap : str or Colormap, optional
        Default gray for a quantity that begins with "ADF", cividis otherwise.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If the image is not 2D, holds no measured pixel, or the limits are not increasing.

    Examples
    --------
    >>> axes = show_image(np.eye(8), pixel_size_nm=4.63, quantity="ADF (counts)")
    >>> axes.images[0].get_clim()
    (0.0, 1.0)
    """
    import matplotlib.pyplot as plt

    picture = np.asarray(image, dtype=float)
    check_ndim(picture, "image", "y, x")
    low, high = _limits([picture], limits)
    if ax is None:
        ratio = picture.shape[0] / picture.shape[1]
        width = 4.6 if quantity else 3.9
        height = float(np.clip(0.35 + 3.6 * ratio, 1.6, 6.0)) + (0.0 if pixel_size_nm is None else 0.3)
        _, ax = plt.subplots(figsize=(width, height))
    artist = _draw(ax, picture, low, high, _color_map(cmap, quantity), pixel_size_nm=pixel_size_nm)
    ax.set_title(title)
    name_directions(ax, directions)
    if outlines:
        add_outlines(ax, outlines)
        ax.figure.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=len(outlines))
    if quantity:
        ax.figure.colorbar(artist, ax=ax, label=quantity, shrink=0.9)
    return ax


@checked
def show_images(
    images: Sequence[ArrayLike],
    *,
    titles: Sequence[str] = (),
    pixel_size_nm: float | Sequence[float] | None = None,
    quantity: str = "",
    limits: tuple[float, float] | None = None,
    cmap: Any = None,
    columns: int = 3,
    directions: tuple[str, str] | None = None,
    outlines: Sequence[Mapping[str, ArrayLike]] = (),
) -> NDArray[np.object_]:
    """Show images side by side with shared limits and one color bar, so that they can be compared.

    Parameters
    ----------
    images : sequence of array_like, each of shape (y, x)
        Pictures of the same quantity.
    titles : sequence of str, default ()
        One short title each.
    pixel_size_nm : float or sequence of float, optional
        Side of a pixel, nm, of all images or of each. Images of one scale get one scale bar, below the first image of
        the last row.
    quantity : str, default ""
        What the values are, with unit, written at the color bar.
    limits : (float, float), optional
        Values at the ends of the color bar; the range over all images otherwise.
    cmap : str or Colormap, optional
        As for :func:`show_image`.
    columns : int, default 3
        Images per row. Three are the most that stay readable on a telephone.
    directions : (str, str), optional
        What runs to the right and what down, the same in all.
    outlines : sequence of mapping, default ()
        For each image the masks whose borders are drawn on it, as by :func:`add_outlines`.

    Returns
    -------
    ndarray of Axes, shape (n_images,)

    Raises
    ------
    ValueError
        If there is no image, or titles, outlines or pixel sizes do not match.

    Examples
    --------
    >>> axes = show_images([np.eye(4), 2 * np.eye(4)], titles=["a", "b"], quantity="counts")
    >>> [a.images[0].get_clim() for a in axes]
    [(0.0, 2.0), (0.0, 2.0)]
    """
    import matplotlib.pyplot as plt

    pictures = [np.asarray(image, dtype=float) for image in images]
    if not pictures:
        raise fail("images", expected="at least one image", got="none", remedy="give a list of 2D arrays")
    for picture in pictures:
        check_ndim(picture, "images", "y, x")
    check_count(columns, "columns")
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    sizes = _bar_sizes(pixel_size_nm, pictures, columns)
    borders = outlines or [{}] * len(pictures)
    for what, given in (
        ("titles", titles or [""] * len(pictures)),
        ("pixel_size_nm", sizes),
        ("outlines", borders),
    ):
        if len(given) != len(pictures):
            raise fail(what, expected=f"{len(pictures)}, one per image", got=len(given), remedy="give one per image")
    low, high = _limits(pictures, limits)
    ratio = max(picture.shape[0] / picture.shape[1] for picture in pictures)
    panel = 5.6 / columns
    height = rows * (panel * ratio + (0.35 if titles else 0.1))
    rows_with_bar = {i // columns for i, size in enumerate(sizes) if size is not None}
    height += 0.3 * (rows if directions else len(rows_with_bar))
    height += (0.75 if quantity else 0.0) + (0.35 if outlines else 0.0)
    figure, grid = plt.subplots(rows, columns, figsize=(5.8, float(height)), squeeze=False)
    axes = grid.ravel()
    colors = _color_map(cmap, quantity)
    for i, picture in enumerate(pictures):
        artist = _draw(axes[i], picture, low, high, colors, pixel_size_nm=sizes[i])
        axes[i].set_title(titles[i] if titles else "")
        name_directions(axes[i], directions)
        add_outlines(axes[i], borders[i])
    if outlines:
        names = {n: h for a in axes for h, n in zip(*a.get_legend_handles_labels(), strict=True)}
        figure.legend(names.values(), names.keys(), loc="outside upper center", ncols=len(names))
    for spare in axes[len(pictures) :]:
        spare.set_axis_off()
    if quantity:
        # Below the images it takes no width from them.
        bar = figure.colorbar(artist, ax=list(axes), label=quantity, orientation="horizontal", fraction=0.05, aspect=30)
        bar.outline.set_linewidth(0.6)
    return axes[: len(pictures)]


@checked
def show_difference(
    result: ArrayLike,
    truth: ArrayLike,
    *,
    pixel_size_nm: float | None = None,
    quantity: str = "",
    limit: float | None = None,
    title: str = "difference",
    ax: Axes | None = None,
) -> Axes:
    """Show result minus truth on a symmetric red-blue scale, white where they agree.

    Parameters
    ----------
    result, truth : array_like, shape (y, x)
        Same quantity on the same grid.
    pixel_size_nm, quantity, title, ax
        As for :func:`show_image`.
    limit : float, optional
        Difference at the ends of the color bar; the largest difference otherwise.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If the shapes differ or the limit is not positive.

    Examples
    --------
    >>> axes = show_difference(np.eye(4), np.zeros((4, 4)))
    >>> axes.images[0].get_clim()
    (-1.0, 1.0)
    """
    a, b = np.asarray(result, dtype=float), np.asarray(truth, dtype=float)
    if a.shape != b.shape:
        raise fail("truth", expected=f"shape {a.shape}", got=f"shape {b.shape}", remedy="sample both on one grid")
    difference = a - b
    if limit is None:
        finite = np.abs(difference[np.isfinite(difference)])
        limit = float(finite.max()) if finite.size and finite.max() > 0 else 1.0
    limit = check_positive(limit, "limit")
    return show_image(
        difference,
        ax=ax,
        pixel_size_nm=pixel_size_nm,
        quantity=quantity,
        title=title,
        limits=(-limit, limit),
        cmap="RdBu_r",
    )


@checked
def show_sinograms(
    sinograms: Sequence[ArrayLike],
    tilt_angles_deg: ArrayLike,
    *,
    pixel_size_nm: float,
    titles: Sequence[str] = (),
    quantity: str = "",
    limits: tuple[float, float] | None = None,
    across: str = "position",
) -> NDArray[np.object_]:
    """Show sinograms of the same tilts side by side: position in nm across, tilt in degrees down.

    Parameters
    ----------
    sinograms : sequence of array_like, each of shape (tilt, x)
        One row of every image of a tilt series.
    tilt_angles_deg : array_like, shape (tilt,)
        Tilts, degrees, increasing.
    pixel_size_nm : float
        Side of a pixel, nm; zero lies in the middle of the image.
    titles : sequence of str, default ()
        One short title each.
    quantity, limits
        As for :func:`show_images`.
    across : str, default "position"
        What runs across, of which nm are written: ``"y"`` for sums of rows, ``"x"`` for one row.

    Returns
    -------
    ndarray of Axes, shape (n_sinograms,)

    Raises
    ------
    ValueError
        If a sinogram has not one row for each tilt.

    Examples
    --------
    >>> axes = show_sinograms([np.eye(3)], [-10, 0, 10], pixel_size_nm=2, quantity="counts")
    >>> axes[0].get_xlabel(), axes[0].get_ylabel()
    ('position (nm)', 'tilt (°)')
    """
    import matplotlib.pyplot as plt

    angles = check_increasing(tilt_angles_deg, "tilt_angles_deg")
    pictures = [np.asarray(sinogram, dtype=float) for sinogram in sinograms]
    for picture in pictures:
        check_ndim(picture, "sinogram", "tilt, x")
        check_shape(picture[:, 0], "sinogram", angles.shape, remedy="give one row for each tilt")
    if not pictures or len(titles) not in (0, len(pictures)):
        raise fail("titles", expected=f"one for each of {len(pictures)}", got=len(titles), remedy="give one each")
    low, high = _limits(pictures, limits)
    height = 0.9 * 5.2 / max(len(pictures), 2) + (1.5 if quantity else 0.9)
    figure, grid = plt.subplots(1, len(pictures), figsize=(5.8, height), sharey=True, squeeze=False)
    every = max(1, round((angles.size - 1) / 6))
    for i, (ax, picture) in enumerate(zip(grid[0], pictures, strict=True)):
        artist = ax.imshow(picture, vmin=low, vmax=high, cmap=_color_map(None, quantity), aspect="auto")
        middle, half_nm = picture.shape[1] // 2, round_length(0.4 * picture.shape[1] * pixel_size_nm)
        ax.set_xticks(middle + np.array([-1, 0, 1]) * half_nm / pixel_size_nm, map(_signed, (-half_nm, 0, half_nm)))
        ax.set_yticks(range(0, angles.size, every), map(_signed, angles[::every]))
        ax.set(xlabel=f"{across} (nm)", title=titles[i] if titles else "")
    grid[0, 0].set_ylabel("tilt (°)")
    if quantity:
        figure.colorbar(artist, ax=list(grid[0]), label=quantity, orientation="horizontal", fraction=0.05, aspect=30)
    return np.asarray(grid[0], dtype=object)


def _signed(value: float) -> str:
    """Write a number of a tick with the sign that matplotlib would give it."""
    return f"{value:.4g}".replace("-", "\N{MINUS SIGN}")
