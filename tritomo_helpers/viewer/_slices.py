"""Linked slices through tomograms and tilt series."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._validation import checked, fail
from ..containers import TiltSeries, Tomogram
from ._color import choose_color_map, choose_limits, common_exponent, lookup_table, split_quantity
from ._pack import as_values, extent, pack
from ._page import Viewer, check_alt, check_tomogram, png, wrong_type

_HELP = (
    "Drag or tap to move the crosshair; the sliders change the slice. With a picture in focus: arrow keys move the "
    "crosshair, Page Up and Page Down the slice; Shift takes larger steps."
)


@checked
def show_volume(
    tomogram: Tomogram,
    *,
    alt: str,
    quantity: str | None = None,
    limits: tuple[float, float] | None = None,
    cmap: str | None = None,
    start: tuple[int, int, int] | None = None,
) -> Viewer:
    """Show a tomogram as three linked slices with a crosshair.

    Works in a notebook, in the rendered book and as a saved page, without kernel or network. The value at the crosshair
    is the array's, rounded to the last digit shown.

    Parameters
    ----------
    tomogram : Tomogram
        Values (z, y, x); NaN is shown as not measured.
    alt : str
        What it shows, for readers who do not see it.
    quantity : str, optional
        What the values are, with unit in parentheses, such as ``"Mn (at%)"``. Default: the tomogram's own.
    limits : (float, float), optional
        Ends of the color scale, in the unit of the values. Default: all of the data. Values beyond keep their number
        and take the end color; the color bar then ends in a point.
    cmap : {"gray", "cividis", "magma", "RdBu_r", "RdBu"}, optional
        Default: gray for ADF, RdBu_r (symmetric) for differences and errors, else cividis.
    start : (int, int, int), optional
        Voxel (z, y, x) of the crosshair at first. Default: the origin, ``N // 2`` along each axis.

    Returns
    -------
    Viewer
        Displayed by a notebook; ``save(path)`` writes a page.

    Raises
    ------
    ValueError
        If an option or the size is not as above.
    TypeError
        If `tomogram` is not a Tomogram.

    Notes
    -----
    At most about 0.5 MB for 64^3 voxels and 1 MB for 128^3: values are rounded to 1/400 of their range or finer, to
    1/40 if the page would be larger. Only noise that fills all of a large volume exceeds that; crop it to the particle
    or set what is outside of it to NaN.

    Examples
    --------
    >>> density = Tomogram(np.ones((8, 8, 8)), 4.63, "density (1/nm³)")
    >>> shown = show_volume(density, alt="Uniform density.")
    >>> len(shown.html) < 100_000
    True
    """
    check_tomogram(tomogram, "tomogram")
    return _volumes([tomogram], [""], alt, quantity, limits=limits, cmap=cmap, start=start)


@checked
def show_pair(
    truth: Tomogram,
    other: Tomogram,
    *,
    labels: tuple[str, str],
    alt: str,
    quantity: str | None = None,
    limits: tuple[float, float] | None = None,
    cmap: str | None = None,
    start: tuple[int, int, int] | None = None,
) -> Viewer:
    """Show two tomograms with one crosshair, one color scale and both values.

    Parameters
    ----------
    truth, other : Tomogram
        Same shape and voxel size.
    labels : (str, str)
        Short names, such as ``("truth", "GENFIRE")``.
    alt, quantity, limits, cmap, start
        As for :func:`show_volume`; the default limits hold the data of both.

    Returns
    -------
    Viewer
        As from :func:`show_volume`.

    Raises
    ------
    ValueError
        If the two differ in shape or voxel size, or an option is not as above.
    TypeError
        If one is not a Tomogram.

    Examples
    --------
    >>> a, b = (Tomogram(np.full((8, 8, 8), v), 4.63, "Mn (at%)") for v in (10.0, 12.0))
    >>> show_pair(a, b, labels=("truth", "GENFIRE"), alt="Two uniform volumes.")
    Viewer(slices: Two uniform volumes.)
    """
    check_tomogram(truth, "truth")
    check_tomogram(other, "other")
    if len(labels) != 2 or isinstance(labels, str) or not all(isinstance(t, str) and t.strip() for t in labels):
        raise fail("labels", expected="two short names", got=repr(labels), remedy='give e.g. ("truth", "GENFIRE")')
    if truth.values.shape != other.values.shape:
        raise fail(
            "other",
            expected=f"the shape of the first, {truth.values.shape}",
            got=f"shape {other.values.shape}",
            remedy="sample both on one grid",
        )
    if not np.isclose(truth.voxel_size_nm, other.voxel_size_nm, rtol=1e-6):
        raise fail(
            "other",
            expected=f"the voxel size of the first, {truth.voxel_size_nm} nm",
            got=f"{other.voxel_size_nm} nm",
            remedy="sample both on one grid",
        )
    return _volumes([truth, other], list(labels), alt, quantity, limits=limits, cmap=cmap, start=start)


@checked
def show_tilt_series(
    tilt_series: TiltSeries,
    *,
    alt: str,
    quantity: str | None = None,
    limits: tuple[float, float] | None = None,
    cmap: str | None = None,
    start_angle_deg: float = 0.0,
) -> Viewer:
    """Scroll through a tilt series, with the sinogram of the row under the crosshair beside it.

    Parameters
    ----------
    tilt_series : TiltSeries
        Images (tilt, y, x); NaN is shown as not measured.
    alt, limits, cmap
        As for :func:`show_volume`.
    quantity : str, optional
        What the values are, with unit in parentheses. Default: the label of the series.
    start_angle_deg : float, default 0
        The tilt nearest to this is shown first, degrees.

    Returns
    -------
    Viewer
        As from :func:`show_volume`.

    Raises
    ------
    ValueError
        If an option or the size is not as above.
    TypeError
        If `tilt_series` is not a TiltSeries.

    Examples
    --------
    >>> series = TiltSeries(np.ones((3, 8, 8)), [-10, 0, 10], 4.63, "ADF (counts)")
    >>> show_tilt_series(series, alt="Three equal images.")
    Viewer(slices: Three equal images.)
    """
    if not isinstance(tilt_series, TiltSeries):
        raise wrong_type("tilt_series", tilt_series, "TiltSeries", "TiltSeries(images, tilt_angles_deg, pixel_size_nm)")
    values = as_values(tilt_series.images, "tilt_series")
    angles, pixel = tilt_series.tilt_angles_deg, tilt_series.pixel_size_nm
    digits = (
        0
        if np.allclose(angles, np.rint(angles), atol=1e-6)
        else 1
        if np.allclose(angles * 10, np.rint(angles * 10))
        else 2
    )
    tilt = {"name": "tilt", "label": "tilt angle", "unit": "°", "values": angles.tolist(), "digits": digits}
    tilt["start"] = int(np.argmin(np.abs(angles - start_angle_deg)))
    axes = [tilt, *(_axis(name, n, pixel) for name, n in zip("yx", values.shape[1:], strict=True))]
    planes = [
        {"across": 2, "down": 1, "through": 0, "name": "image", "scale": pixel},
        {"across": 2, "down": 0, "through": 1, "name": "sinogram", "scale": 0},
    ]
    text = tilt_series.label if quantity is None else quantity
    return _viewer([values], [""], axes, planes, order=[0, 2, 1], alt=alt, quantity=text, limits=limits, cmap=cmap)


def _volumes(
    tomograms: list[Tomogram],
    labels: list[str],
    alt: str,
    quantity: str | None,
    *,
    limits: tuple[float, float] | None,
    cmap: str | None,
    start: tuple[int, int, int] | None,
) -> Viewer:
    volumes = [as_values(t.values, "tomogram") for t in tomograms]
    pixel = tomograms[0].voxel_size_nm
    axes = [_axis(name, n, pixel) for name, n in zip("zyx", volumes[0].shape, strict=True)]
    if start is not None:
        shape = volumes[0].shape
        if np.shape(start) != (3,) or any(not 0 <= i < n for i, n in zip(start, shape, strict=True)):
            raise fail("start", expected=f"a voxel (z, y, x) within {shape}", got=start, remedy="give three indices")
        for axis, index in zip(axes, start, strict=True):
            axis["start"] = int(index)
    planes = [
        {"across": 2, "down": 1, "through": 0, "name": "x–y slice", "scale": pixel},
        {"across": 2, "down": 0, "through": 1, "name": "x–z slice", "scale": pixel},
        {"across": 1, "down": 0, "through": 2, "name": "y–z slice", "scale": pixel},
    ]
    text = tomograms[0].quantity if quantity is None else quantity
    return _viewer(volumes, labels, axes, planes, order=[2, 1, 0], alt=alt, quantity=text, limits=limits, cmap=cmap)


def _axis(name: str, n: int, pixel_nm: float) -> dict[str, Any]:
    """Coordinates (i - n // 2) * pixel, with as many digits as tell two pixels apart."""
    digits = int(np.clip(np.ceil(1 - np.log10(pixel_nm)), 0, 6))
    values = [round((i - n // 2) * pixel_nm, digits + 2) for i in range(n)]
    return {"name": name, "label": f"{name} position", "unit": " nm", "values": values, "digits": digits}


def _viewer(
    volumes: list[NDArray[Any]],
    labels: list[str],
    axes: list[dict[str, Any]],
    planes: list[dict[str, Any]],
    *,
    order: list[int],
    alt: str,
    quantity: str,
    limits: tuple[float, float] | None,
    cmap: str | None,
) -> Viewer:
    alt = check_alt(alt)
    cmap = choose_color_map(cmap, quantity)
    low, high = choose_limits(limits, volumes, cmap)
    packed, step = pack(volumes, span=high - low)
    name, unit = split_quantity(quantity)
    data = extent(volumes)
    largest = max(0.0, *(abs(value) for value in (data.low, data.high, low, high) if np.isfinite(value)))
    exponent = common_exponent(step, largest)
    factor = f"×10{''.join('⁻⁰¹²³⁴⁵⁶⁷⁸⁹'['-0123456789'.index(c)] for c in str(exponent))}" if exponent else ""
    suffix = " ".join(s for s in (factor, unit) if s)
    title = f"{name} ({suffix})" if suffix and name else name or suffix or "value"
    config = {
        "volumes": [p | {"label": label} for p, label in zip(packed, labels, strict=True)],
        "axes": axes,
        "planes": planes,
        "order": order,
        "lut": lookup_table(cmap),
        "lo": low,
        "hi": high,
        "step": step,
        "exponent": exponent,
        "digits": exponent - step,
        "unit": unit,
        "title": title,
        "barLabel": f"Color scale: {name or 'value'} from {low:.4g} to {high:.4g} {unit}".strip(),
        "missing": data.missing,
        "under": data.low < low,
        "over": data.high > high,
        "stretch": axes[0]["name"] == "tilt",
        "help": _HELP,
    }
    starts = [axis.get("start", n // 2) for axis, n in zip(axes, volumes[0].shape, strict=True)]
    scale = 10.0**exponent
    first = [[np.take(v, starts[p["through"]], axis=p["through"]) / scale for p in planes] for v in volumes]
    shown = (low / scale, high / scale)
    draw = functools.partial(_still, first, labels, axes, planes, title=title, limits=shown, cmap=cmap)
    return Viewer("slices", alt, config, draw)


def _still(
    first: Sequence[Sequence[NDArray[Any]]],
    labels: Sequence[str],
    axes: list[dict[str, Any]],
    planes: list[dict[str, Any]],
    *,
    title: str,
    limits: tuple[float, float],
    cmap: str,
) -> bytes:
    """Draw the first slices (volume, plane), rows `down` and columns `across`, for where scripts do not run."""
    from matplotlib.figure import Figure

    low, high = limits
    figure = Figure(figsize=(2.4 * len(planes) + 0.8, 2.5 * len(first) + 0.2), layout="constrained")
    grid = figure.subplots(len(first), len(planes), squeeze=False)
    for row, images, label in zip(grid, first, labels, strict=True):
        for ax, plane, image in zip(row, planes, images, strict=True):
            through = axes[plane["through"]]
            index = through.get("start", len(through["values"]) // 2)
            x, y = (np.asarray(axes[plane[k]]["values"]) for k in ("across", "down"))
            half = (np.ptp(x) / max(x.size - 1, 1) / 2, np.ptp(y) / max(y.size - 1, 1) / 2)
            extent = (x[0] - half[0], x[-1] + half[0] + 1e-9, y[-1] + half[1] + 1e-9, y[0] - half[1])
            shown = ax.imshow(
                image,
                cmap=cmap,
                vmin=low,
                vmax=high,
                extent=extent,
                interpolation="nearest",
                aspect="equal" if plane["scale"] else "auto",
            )
            ax.set_title(
                f"{label} {through['name']} = {through['values'][index]:g}{through['unit']}".strip(), fontsize=8
            )
            ax.set_xlabel(_axis_title(axes[plane["across"]]), fontsize=8)
            ax.set_ylabel(_axis_title(axes[plane["down"]]), fontsize=8)
            ax.tick_params(labelsize=7)
    bar = figure.colorbar(shown, ax=grid, shrink=0.8)
    bar.set_label(title, fontsize=8)
    bar.ax.tick_params(labelsize=7)
    return png(figure)


def _axis_title(axis: dict[str, Any]) -> str:
    return f"{axis['name']} ({axis['unit'].strip()})"
