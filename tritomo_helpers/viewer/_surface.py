"""Surfaces of constant value, as meshes small enough for a page.

Drawn by about 150 lines of script with a depth buffer, not by plotly: its library alone is 4.8 MB, five times what a
page may weigh, and WebGL allows only some sixteen views on a page and none where it is switched off.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._validation import checked, fail
from ..containers import Tomogram
from ..plotting.style import color_of
from ._color import split_quantity
from ._pack import as_values, encode_codes
from ._page import Viewer, check_alt, check_tomogram, png
from ._paint import Scale, at_points, check_values, cut_away

STEPS_PER_VOXEL = 32
MAX_FACES = 60_000
_HELP = "Drag to turn, or use the sliders; with the picture in focus, arrow keys turn, + and − zoom, Home resets."


@checked
def show_surface(
    tomogram: Tomogram | Mapping[str, Tomogram],
    *,
    alt: str,
    level: float | Mapping[str, float] | None = None,
    color: str | Mapping[str, str] | None = None,
    opacity: float | Mapping[str, float] | None = None,
    smoothing_px: float | None = None,
    values: Tomogram | Mapping[str, Tomogram] | None = None,
    limits: tuple[float, float] | None = None,
    cmap: str | None = None,
    cut: Sequence[str] = (),
    tilt_deg: float = 20.0,
    elevation_deg: float = 20.0,
) -> Viewer:
    """Show one or more surfaces of constant value that the reader can turn, or watch turning.

    The view is a parallel projection with a scale bar. At elevation 0 it is the view along the beam at the tilt shown:
    along (sin t, 0, cos t) in (x, y, z), with (cos t, 0, -sin t) to the right and y down.

    Parameters
    ----------
    tomogram : Tomogram or mapping of str to Tomogram
        Values (z, y, x), or a mask of zeros and ones; NaN counts as outside. Several are drawn together, the outermost
        first; all with one voxel size.
    alt : str
        What it shows, for readers who do not see it.
    level : float or mapping, optional
        Value on the surface, in the unit of the tomogram. Default: 0.5 for a mask, else Otsu's threshold.
    color : str or mapping, optional
        A matplotlib color. Default: that of the element or valence state named by the label or quantity, else gray.
    opacity : float or mapping, optional
        Above 0, at most 1. Default: 1, but 0.35 for all except the last of several surfaces.
    smoothing_px : float, optional
        Standard deviation of a Gaussian applied first, voxels. Default: 1 for a mask, which else would look like
        stairs, and 0 for anything else.
    values : Tomogram or mapping of str to Tomogram, optional
        Volumes that paint the surfaces, on the same grid: all of them, or those that are named. The color at a place
        is that of the value there; a voxel that was not measured takes the value of its nearest neighbor.
    limits, cmap : optional
        Color scale of `values`, as for `show_volume`.
    cut : sequence of {"+x", "-x", "+y", "-y", "+z", "-z"}, default ()
        What is cut away to show the inside: all that lies on each of these sides of the middle. ``("+x", "-z")`` takes
        the quarter that is nearest to the reader on the right.
    tilt_deg, elevation_deg : float
        First view, degrees.

    Returns
    -------
    Viewer
        Displayed by a notebook; ``save(path)`` writes a page.

    Raises
    ------
    ValueError
        If no voxel is on one of the two sides of the level, or an option is not as above.
    TypeError
        If an input is not a Tomogram.

    References
    ----------
    Lewiner et al., J. Graph. Tools 8, 1 (2003), through scikit-image.

    Examples
    --------
    >>> z, y, x = np.indices((12, 12, 12)) - 6
    >>> ball = Tomogram((x**2 + y**2 + z**2 < 20).astype(float), 4.63, "mask")
    >>> show_surface(ball, alt="A ball.")
    Viewer(surface: A ball.)
    """
    alt = check_alt(alt)
    parts = dict(tomogram) if isinstance(tomogram, Mapping) else {"": tomogram}
    if not parts:
        raise fail("tomogram", expected="at least one", got="an empty mapping", remedy="give {label: Tomogram}")
    for name, body in parts.items():
        check_tomogram(body, name or "tomogram")
    _check_labels({"level": level, "color": color, "opacity": opacity}, parts)
    sizes = {p.voxel_size_nm for p in parts.values()}
    if len(sizes) > 1:
        raise fail("tomogram", expected="one voxel size", got=sorted(sizes), remedy="sample all on one grid")
    painted = dict(values) if isinstance(values, Mapping) else {name: values for name in parts if values is not None}
    for name, volume in painted.items():
        check_tomogram(volume, "values")
        check_values(volume, parts[_known(name, parts)], "values")
    scale = Scale(list(painted.values()), limits, cmap) if painted else None
    last = list(parts)[-1]
    meshes, stills = [], []
    for name, body in parts.items():
        alpha = _pick(opacity, name)
        alpha = (1.0 if name == last else 0.35) if alpha is None else float(alpha)
        if not 0 < alpha <= 1:
            raise fail("opacity", expected="above 0, at most 1", got=alpha, remedy="1 is opaque")
        value, mask, points, faces = _mesh(body, _pick(level, name), smoothing_px, cut, name or "tomogram")
        paint = _hex(_pick(color, name) or color_of(name or body.quantity, default="0.65"))
        quantity, unit = split_quantity(body.quantity)
        words = (name or quantity or "surface", "" if mask else f"at {value:.3g}", "" if mask else unit)
        mesh = _config(points, faces, body.voxel_size_nm / STEPS_PER_VOXEL)
        mesh |= {"color": paint, "opacity": alpha, "label": " ".join(w for w in words if w)}
        colors = np.array([int(paint[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        if scale and name in painted:
            there = at_points(painted[name], points, "values")
            mesh |= scale.config(there)
            colors = scale.rgb(there[faces].mean(axis=1))
        meshes.append(mesh)
        stills.append((points, faces, colors, alpha))
    radius = 1.04 * max(float(np.linalg.norm(p, axis=1).max()) for p, *_ in stills)
    config: dict[str, Any] = {
        "meshes": meshes,
        "radius": radius,
        "axes": ["x", "y", "z"],
        "tilt": float(tilt_deg),
        "elevation": float(elevation_deg),
        "help": _HELP,
    }
    if scale:
        config["bar"] = scale.bar
    draw = functools.partial(_still, stills, radius, tilt_deg, elevation_deg, scale)
    return Viewer("surface", alt, config, draw)


def _check_labels(options: Mapping[str, Any], parts: Mapping[str, Tomogram]) -> None:
    """Raise ValueError if an option is given for a label that no tomogram has."""
    for what, option in options.items():
        unknown = sorted(set(option) - set(parts)) if isinstance(option, Mapping) else []
        if unknown:
            raise fail(
                what, expected=f"labels among {list(parts)}", got=unknown, remedy="use the labels of the tomograms"
            )


def _known(name: str, parts: Mapping[str, Tomogram]) -> str:
    if name not in parts:
        raise fail(
            "values", expected=f"labels among {list(parts)}", got=[name], remedy="use the labels of the tomograms"
        )
    return name


def _pick(option: Any, name: str) -> Any:
    return option.get(name) if isinstance(option, Mapping) else option


def _hex(color: str) -> str:
    from matplotlib.colors import to_hex

    try:
        return to_hex(color)
    except ValueError:
        raise fail("color", expected="a matplotlib color", got=repr(color), remedy='give e.g. "#CC79A7"') from None


def _mesh(
    tomogram: Tomogram, level: float | None, smoothing_px: float | None, cut: Sequence[str], what: str
) -> tuple[float, bool, NDArray[np.float64], NDArray[np.int64]]:
    """Return level, whether a mask, points (n, 3) as (x, y, z) in nm, faces (m, 3) counterclockwise from outside."""
    from scipy.ndimage import gaussian_filter
    from skimage.filters import threshold_otsu
    from skimage.measure import marching_cubes

    values = as_values(tomogram.values, what).astype(np.float64)
    finite = values[np.isfinite(values)]
    if not finite.size:
        raise fail(what, expected="a volume", got="no measured value", remedy="check what was set to NaN")
    low = float(finite.min())
    is_mask = bool(np.isin(finite, (0.0, 1.0)).all())
    if level is None:
        level = 0.5 if is_mask or np.ptp(finite) == 0 else float(threshold_otsu(finite))
    if not low < level < finite.max():
        got = f"values from {low:.4g} to {finite.max():.4g}"
        raise fail(what, expected=f"values on both sides of {level:.4g}", got=got, remedy="choose another level")
    values = np.pad(np.where(np.isfinite(values), values, low), 2, constant_values=low)  # closed at the box
    sigma = (1.0 if is_mask else 0.0) if smoothing_px is None else smoothing_px
    if sigma > 0:
        values = gaussian_filter(values, sigma, mode="nearest")
        if not values.max() > level:
            raise fail(what, expected="something left after smoothing", got=f"{sigma} voxels", remedy="smooth less")
    if cut:
        values = np.where(cut_away(values > level, cut), min(low, level - 1), values)
    for stride in (1, 2, 3, 4):
        points, faces, *_ = marching_cubes(values, level, step_size=stride, allow_degenerate=False)
        if len(faces) <= MAX_FACES:
            break
    center = 2 + np.array(tomogram.values.shape) // 2
    points = ((points - center) * tomogram.voxel_size_nm)[:, ::-1]
    corners = points[faces]
    if np.einsum("ij,ij->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) < 0:  # six times the volume inside
        faces = faces[:, ::-1]
    return float(level), is_mask, points.astype(np.float64), faces.astype(np.int64)


def _config(points: NDArray[np.float64], faces: NDArray[np.int64], step: float) -> dict[str, Any]:
    origin = points.min(axis=0)
    codes = np.rint((points - origin) / step).astype(np.int64) + 1
    return {
        "points": encode_codes(codes.T[:, None, :]),  # coordinate by coordinate: neighbors differ little
        "faces": encode_codes((faces.T + 1)[:, None, :]),
        "origin": origin.tolist(),
        "step": step,
    }


def _still(
    stills: list[Any], radius: float, tilt_deg: float, elevation_deg: float, scale: Scale | None = None
) -> bytes:
    """Draw the first view as a picture, for where scripts do not run: faces from back to front."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.collections import PolyCollection
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    t, e = np.deg2rad([tilt_deg, elevation_deg])
    right, down, away = _rotation(t, e)
    figure = Figure(figsize=(3.2, 3.2), layout="constrained")
    ax = figure.subplots()
    for points, faces, paint, alpha in stills:
        corners = points[faces]
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12
        seen = normals @ away < 0
        corners, normals = corners[seen], normals[seen]
        order = np.argsort(-(corners.mean(axis=1) @ away))
        toward_light = np.clip(normals @ (-0.36 * right - 0.48 * down - 0.8 * away), 0, 1)
        ambient = 0.7 if paint.ndim == 2 else 0.35  # colors that stand for values must stay readable
        shade = (ambient + (1 - ambient) * toward_light)[:, None] * (paint[seen] if paint.ndim == 2 else paint)
        flat = np.stack([corners @ right, corners @ down], axis=-1)
        face_colors = np.column_stack([shade, np.full(len(shade), alpha)])[order]
        ax.add_collection(
            PolyCollection(list(flat[order]), facecolors=face_colors, edgecolors="none", antialiaseds=False)
        )
    ax.set(xlim=(-radius, radius), ylim=(radius, -radius), aspect="equal")
    ax.set_xlabel("nm", fontsize=8)
    ax.tick_params(labelsize=7)
    if scale:
        shown = ScalarMappable(Normalize(*scale.limits), scale.cmap)
        figure.colorbar(shown, ax=ax, label=scale.quantity, shrink=0.7)
    return png(figure)


def _rotation(tilt: float, elevation: float) -> NDArray[np.float64]:
    """Return unit vectors (x, y, z) to the right, down and away from the reader; angles in radians."""
    ct, st, ce, se = np.cos(tilt), np.sin(tilt), np.cos(elevation), np.sin(elevation)
    return np.array([[ct, 0, -st], [-se * st, ce, -se * ct], [ce * st, se, ce * ct]])
