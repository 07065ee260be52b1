"""Films of turning particles, computed beforehand, that play on a page without a kernel."""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._typing import Floats
from .._validation import check_positive, checked, fail
from ..containers import Tomogram
from ..plotting.style import typeset
from ._page import Viewer, check_alt, check_tomogram
from ._paint import Scale, check_values, cut_away

MAX_FRAMES = 400
_PIXELS = 150  # of one panel, drawn with twice as many
_SECONDS_PER_TURN = 7.0
_UNMEASURED = 0.6  # gray


@checked
def show_turntable(
    rows: Mapping[str, Mapping[str, Tomogram]],
    *,
    alt: str,
    limits: Mapping[str, tuple[float, float]] | None = None,
    cmap: str | None = None,
    cut: Sequence[str] = (),
    depth_nm: float = 20.0,
    n_views: int = 16,
) -> Viewer:
    """Show one or more particles turning about the tilt axis, with buttons for the quantities.

    A pixel has the color of the mean value along its line of sight, weighted by how far one sees: the weight falls to
    1/e within `depth_nm`. Brightness is shading. The film plays, without kernel or network, when it is told to.

    Parameters
    ----------
    rows : mapping of str to mapping of str to Tomogram
        Quantity, such as ``"Mn"``, to particle to volume (z, y, x); NaN is outside. The same particles for all, each
        with one grid.
    alt : str
        What it shows, for readers who do not see it.
    limits : mapping of str to (float, float), optional
        Ends of the color scale of a quantity. Default: all of its data.
    cmap : str, optional
        As for `show_volume`.
    cut : sequence of {"+x", "-x", "+y", "-y", "+z", "-z"}
        What is cut away, as for `show_surface`.
    depth_nm : float, default 20
        How far one sees into the matter, nm.
    n_views : int, default 16
        Frames of a full turn.

    Returns
    -------
    Viewer
        Displayed by a notebook; ``save(path)`` writes a page.

    Raises
    ------
    ValueError
        If particles or grids differ, nothing was measured, or there are more than 400 frames.

    Examples
    --------
    >>> z, y, x = np.indices((12, 12, 12)) - 6
    >>> ball = Tomogram(np.where(x**2 + y**2 + z**2 < 20, 11.0 + x, np.nan), 4.63, "Mn (at%)")
    >>> show_turntable({"Mn": {"ball": ball}}, alt="A ball.", n_views=4)
    Viewer(sweep: A ball.)
    """
    alt = check_alt(alt)
    names = _checked(rows)
    if not 2 <= n_views * len(rows) <= MAX_FRAMES:
        raise fail("n_views", expected=f"2 to {MAX_FRAMES} frames", got=n_views * len(rows), remedy="show fewer views")
    check_positive(depth_nm, "depth_nm")
    scales = {q: Scale(list(volumes.values()), (limits or {}).get(q), cmap) for q, volumes in rows.items()}
    angles = np.arange(n_views) * 360.0 / n_views
    half_nm = max(_reach_nm(next(iter(rows.values()))[name]) for name in names)
    panels = {
        name: _panels(
            [volumes[name] for volumes in rows.values()],
            list(scales.values()),
            angles,
            half_nm,
            cut=cut,
            depth_nm=depth_nm,
        )
        for name in names
    }
    pictures = [
        _webp(np.concatenate([panels[name][q][a] for name in names], axis=1))
        for q in range(len(rows))
        for a in range(n_views)
    ]
    config = {
        "alt": alt,
        "pictures": [address for address, _ in pictures],
        "frames": list(range(len(pictures))),
        "width": _PIXELS * len(names),
        "height": _PIXELS,
        "pixelated": False,
        "titles": names if len(names) > 1 else [],
        "captions": [],
        "parameters": [
            {"label": "shown", "texts": [typeset(row) for row in rows], "start": 0, "ordered": False},
            {"label": "tilt", "texts": [f"{a:.0f}°" for a in angles], "start": 0, "ordered": True},
        ],
        "bars": [scale.bar for scale in scales.values()],
        "barOf": 0,
        "plays": 1,
        "secondsPerTurn": _SECONDS_PER_TURN,
        "widthNm": 2 * half_nm * len(names),
    }
    first = pictures[0][1]
    return Viewer("sweep", alt, config, lambda: first)


def _checked(rows: Mapping[str, Mapping[str, Tomogram]]) -> list[str]:
    first = list(next(iter(rows.values()))) if rows else []
    if not first:
        raise fail("rows", expected="a quantity with a particle", got=rows, remedy='give {"Mn": {"particle": volume}}')
    for quantity, volumes in rows.items():
        if list(volumes) != first:
            raise fail(quantity, expected=f"the particles {first}", got=list(volumes), remedy="show the same in each")
        for name, volume in volumes.items():
            check_tomogram(volume, f"{quantity} of {name}")
            check_values(volume, next(iter(rows.values()))[name], f"{quantity} of {name}")
            if not np.isfinite(volume.values).any():
                raise fail(f"{quantity} of {name}", expected="a volume", got="no measured value", remedy="check NaN")
    return first


def _reach_nm(volume: Tomogram) -> float:
    """Return the largest distance of a measured voxel from the middle of the particle, and a margin."""
    places = np.argwhere(np.isfinite(volume.values))
    return float(np.linalg.norm(places - places.mean(axis=0), axis=1).max() + 2) * volume.voxel_size_nm


def _panels(
    volumes: Sequence[Tomogram],
    scales: Sequence[Scale],
    angles_deg: Floats,
    half_nm: float,
    *,
    cut: Sequence[str],
    depth_nm: float,
) -> list[list[NDArray[np.uint8]]]:
    """Return pictures (y, x, 3) of one particle, by quantity and angle."""
    size = volumes[0].voxel_size_nm
    inside = np.isfinite(volumes[0].values)
    middle = np.argwhere(inside).mean(axis=0)
    inside &= ~cut_away(inside, cut)
    measured = [inside & np.isfinite(volume.values) for volume in volumes]
    partly = [i for i, mask in enumerate(measured) if not np.array_equal(mask, inside)]
    values = [np.where(mask, volume.values, 0) for mask, volume in zip(measured, volumes, strict=True)]
    stack = np.stack([inside, *values, *(measured[i] for i in partly)]).astype(np.float32)
    n = round(2 * half_nm / size)
    step = 2 * half_nm / n
    along = (np.arange(n) - (n - 1) / 2) * step / size
    depth, across = np.meshgrid(along, along, indexing="ij")
    columns = _rows(stack, along + middle[1]).transpose(2, 3, 0, 1)  # (z, x, quantity, y)
    flat = np.ascontiguousarray(columns).reshape(stack.shape[1] * stack.shape[3], -1)
    seen: list[list[NDArray[np.uint8]]] = [[] for _ in volumes]
    for angle in np.deg2rad(angles_deg):
        x = across * np.cos(angle) + depth * np.sin(angle) + middle[2]
        z = -across * np.sin(angle) + depth * np.cos(angle) + middle[0]
        turned = (_turning(z, x, stack.shape[1::2]) @ flat).reshape(n, n, len(stack), n)  # depth, across, quantity, y
        matter = turned[:, :, 0]
        passed = np.exp(-np.cumsum(matter, axis=0) * step / depth_nm)
        weight = np.concatenate([np.ones_like(passed[:1]), passed[:-1]]) - passed
        total = weight.sum(axis=0)
        light = _light((weight * depth[:, :1, None]).sum(axis=0), total)
        cover = np.clip(1.6 * total, 0, 1)[..., None]
        # Values are those of the matter: a voxel half filled counts half, with its full value.
        share = np.divide(weight, matter, out=np.zeros_like(weight), where=matter > 1e-3)
        for i, (pictures, scale) in enumerate(zip(seen, scales, strict=True)):
            sums, known = np.einsum("dxy,dxy->xy", share, turned[:, :, 1 + i]), total
            if i in partly:
                known = np.einsum("dxy,dxy->xy", share, turned[:, :, 1 + len(volumes) + partly.index(i)])
            mean = np.divide(sums, known, out=np.zeros_like(total), where=known > 1e-3)
            rgb = np.where(known[..., None] > 1e-3, scale.rgb(mean), _UNMEASURED)
            color = cover * rgb * light[..., None] + (1 - cover)
            pictures.append(_enlarged(color.swapaxes(0, 1)))
    return seen


def _rows(stack: NDArray[np.float32], index: Floats) -> NDArray[np.float32]:
    """Sample the rows y of (quantity, z, y, x) at fractional indices, zero outside; return (quantity, y, z, x)."""
    rows = np.pad(stack, ((0, 0), (0, 0), (1, 1), (0, 0))).swapaxes(1, 2)
    at = np.clip(index + 1, 0, rows.shape[1] - 1.001)
    low = at.astype(int)
    share = (at - low).astype(np.float32)[:, None, None]
    return np.asarray((1 - share) * rows[:, low] + share * rows[:, low + 1])


def _turning(z: Floats, x: Floats, shape: tuple[int, ...]) -> Any:
    """Return the matrix that interpolates a slice (z, x), made flat, at places; zero outside."""
    from scipy.sparse import csr_array

    n_z, n_x = shape
    z0, x0 = np.floor(z).astype(int).ravel(), np.floor(x).astype(int).ravel()
    fz, fx = z.ravel() - z0, x.ravel() - x0
    place = np.arange(z0.size)
    rows, columns, shares = [], [], []
    for dz, dx, share in ((0, 0, (1 - fz) * (1 - fx)), (1, 0, fz * (1 - fx)), (0, 1, (1 - fz) * fx), (1, 1, fz * fx)):
        inside = (z0 + dz >= 0) & (z0 + dz < n_z) & (x0 + dx >= 0) & (x0 + dx < n_x)
        rows.append(place[inside])
        columns.append(((z0 + dz) * n_x + x0 + dx)[inside])
        shares.append(share[inside].astype(np.float32))
    entries = np.concatenate(shares), (np.concatenate(rows), np.concatenate(columns))
    return csr_array(entries, shape=(place.size, n_z * n_x))


def _light(depth_sum: Floats, total: Floats) -> Floats:
    """Return brightness (across, y), 0.7 to 1, from the slope of the surface that is seen."""
    from scipy.ndimage import gaussian_filter

    seen = total > 1e-3
    depth = np.divide(depth_sum, total, out=np.full_like(total, depth_sum[seen].max() if seen.any() else 0), where=seen)
    depth = gaussian_filter(depth, 1.0)  # voxels make steps, which are no slopes
    right, down = np.gradient(depth)
    normal = np.stack([-right, -down, np.ones_like(depth)])
    toward_light = (-0.36 * normal[0] - 0.48 * normal[1] + 0.8 * normal[2]) / np.linalg.norm(normal, axis=0)
    return np.asarray(0.7 + 0.3 * np.clip(toward_light, 0, 1))


def _enlarged(color: Floats) -> NDArray[np.uint8]:
    from PIL import Image

    picture = Image.fromarray(np.rint(255 * np.clip(color, 0, 1)).astype(np.uint8))
    return np.asarray(picture.resize((2 * _PIXELS, 2 * _PIXELS), Image.Resampling.BICUBIC))


def _webp(pixels: NDArray[np.uint8]) -> tuple[str, bytes]:
    """Return a frame as a data address, and as a PNG."""
    from PIL import Image

    stream, still = io.BytesIO(), io.BytesIO()
    image = Image.fromarray(pixels)
    options: dict[str, Any] = {"quality": 50, "method": 2}
    image.save(stream, format="webp", **options)
    image.quantize(64).save(still, format="png", optimize=True)
    return "data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode("ascii"), still.getvalue()
