"""Colors and limits: one visual language for every viewer."""

import math
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._validation import check_option, fail
from ..plotting.style import COLOR_MAPS, color_map_of, typeset


def split_quantity(quantity: str) -> tuple[str, str]:
    """Split ``"Mn4 (%)"`` into what it is, as chemists write it, and its unit.

    Examples
    --------
    >>> split_quantity("Mn4 (%)"), split_quantity("ADF")
    (('Mn⁴⁺', '%'), ('ADF', ''))
    """
    match = re.fullmatch(r"\s*(.*?)\s*\(([^()]*)\)\s*", quantity)
    return (typeset(match[1]), match[2]) if match else (typeset(quantity.strip()), "")


def choose_color_map(cmap: str | None, quantity: str) -> str:
    """Check the color map asked for, or choose that of the quantity."""
    return color_map_of(quantity) if cmap is None else str(check_option(cmap, "cmap", COLOR_MAPS))


def choose_limits(limits: tuple[float, float] | None, volumes: list[NDArray[Any]], cmap: str) -> tuple[float, float]:
    """Limits of the color scale: all of the data, from zero if nothing is below; symmetric for differences."""
    if limits is not None:
        if np.shape(limits) != (2,) or not np.isfinite(limits).all() or limits[0] >= limits[1]:
            raise fail("limits", expected="(low, high) with low < high", got=limits, remedy="give two finite numbers")
        return float(limits[0]), float(limits[1])
    ends = [_finite_ends(v) for v in volumes]
    low = min((least for least, most in ends if least <= most), default=0.0)
    high = max((most for least, most in ends if least <= most), default=1.0)
    if cmap.startswith("RdBu"):
        high = max(abs(low), abs(high)) or 1.0
        return -high, high
    low = min(low, 0.0) if low < 0.5 * high else low
    return (low, high) if high > low else (low, low + (abs(low) or 1.0))


def _finite_ends(values: NDArray[Any]) -> tuple[float, float]:
    """Least and greatest finite value; (inf, -inf) where there is none."""
    if values.dtype.kind not in "fc":
        return float(values.min()), float(values.max())
    finite = np.isfinite(values)
    return float(values.min(where=finite, initial=np.inf)), float(values.max(where=finite, initial=-np.inf))


def lookup_table(cmap: str) -> str:
    """256 colors of a map as hexadecimal digits, six for each."""
    import matplotlib as mpl

    colors = mpl.colormaps[cmap](np.arange(256), bytes=True)[:, :3]
    return bytes(colors.tobytes()).hex()


def color_stops(cmap: str, n_stops: int = 17) -> list[str]:
    """Return colors at equal steps of a map, as a style sheet writes them.

    Examples
    --------
    >>> color_stops("gray", 3)
    ['#000000', '#808080', '#ffffff']
    """
    import matplotlib as mpl
    from matplotlib.colors import to_hex

    return [to_hex(mpl.colormaps[cmap](x)) for x in np.linspace(0, 1, n_stops)]


def common_exponent(step: int, largest: float) -> int:
    """Exponent taken out of the numbers shown, so that they have few digits: 0, or that of the largest."""
    if largest == 0 or (1e-2 <= largest < 1e5 and step <= 0):
        return max(step, 0)
    return max(math.floor(math.log10(largest) + 1e-12), step)
