"""Cutting volumes open, and painting surfaces with the values of a second volume."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._validation import check_option, fail
from ..containers import Tomogram
from ._color import choose_color_map, choose_limits, color_stops, lookup_table, split_quantity
from ._pack import as_values, encode_codes

SIDES = ("+x", "-x", "+y", "-y", "+z", "-z")
_AXIS = {"x": 2, "y": 1, "z": 0}


def cut_away(inside: NDArray[np.bool_], sides: Sequence[str]) -> NDArray[np.bool_]:
    """Return the voxels that lie on all the given sides of the middle of a body, such as a quarter of it.

    Examples
    --------
    >>> int(cut_away(np.ones((4, 4, 4), bool), ("+x", "-z")).sum())
    16
    """
    removed = np.full(inside.shape, bool(sides))
    if not inside.any():
        return removed & inside
    for side in sides:
        check_option(side, "cut", SIDES)
        axis = _AXIS[side[1]]
        position = np.arange(inside.shape[axis]) - np.nonzero(inside)[axis].mean()
        beyond = position > 0 if side[0] == "+" else position < 0
        removed &= np.expand_dims(beyond, [a for a in range(3) if a != axis])
    return removed


def check_values(values: Tomogram, body: Tomogram, what: str) -> None:
    """Raise ValueError unless the two share a grid."""
    wanted = (body.values.shape, body.voxel_size_nm)
    got = (values.values.shape, values.voxel_size_nm)
    if wanted != got:
        raise fail(
            what, expected=f"shape and voxel size {wanted}, those of the surface", got=got, remedy="sample both alike"
        )


def at_points(volume: Tomogram, points_nm: NDArray[np.float64], what: str) -> NDArray[np.float64]:
    """Return values at points (n, 3) as (x, y, z) in nm; what was not measured counts as its nearest measured voxel."""
    from scipy.ndimage import distance_transform_edt, map_coordinates

    values = as_values(volume.values, what).astype(np.float64)
    missing = ~np.isfinite(values)
    if missing.all():
        raise fail(what, expected="a volume", got="no measured value", remedy="check what was set to NaN")
    if missing.any():
        nearest = distance_transform_edt(missing, return_distances=False, return_indices=True)
        values = values[tuple(nearest)]
    index = points_nm[:, ::-1] / volume.voxel_size_nm + np.array(values.shape) // 2
    return np.asarray(map_coordinates(values, index.T, order=1, mode="nearest"))


class Scale:
    """Colors of values: map, limits and the bar that explains them."""

    def __init__(self, volumes: Sequence[Tomogram], limits: tuple[float, float] | None, cmap: str | None) -> None:
        self.quantity = volumes[0].quantity
        self.cmap = choose_color_map(cmap, self.quantity)
        self.limits = choose_limits(limits, [as_values(v.values, "values") for v in volumes], self.cmap)

    def levels(self, values: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
        """Return the number of the color, 0 to 255; values beyond the limits take the end color."""
        low, high = self.limits
        return np.asarray(np.clip(np.rint(255 * (values - low) / (high - low)), 0, 255), dtype=np.int64)

    def rgb(self, values: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Return colors (..., 3) between 0 and 1."""
        table = np.frombuffer(bytes.fromhex(lookup_table(self.cmap)), np.uint8).reshape(256, 3)
        return np.asarray(table[self.levels(values)] / 255.0)

    @property
    def bar(self) -> dict[str, Any]:
        """The color bar, as the script draws it."""
        name, unit = split_quantity(self.quantity)
        return {
            "ends": [f"{end:.4g}".replace("-", "\N{MINUS SIGN}") for end in self.limits],
            "quantity": f"{name} ({unit})" if unit else name,
            "colors": color_stops(self.cmap),
        }

    def config(self, values: NDArray[np.floating[Any]]) -> dict[str, Any]:
        """Return what the script needs to paint vertices."""
        codes = self.levels(values)[None, None, :] + 1
        return {"values": encode_codes(codes), "table": lookup_table(self.cmap)}
