"""The frames of a sweep: figures and arrays in, pictures for a page out."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._validation import fail
from ..plotting.style import color_map_of
from ._color import choose_limits
from ._page import png

SHOWN_DPI = 100


@dataclass(frozen=True)
class Look:
    """How the frames of one sweep are shown; see :func:`tritomo_helpers.viewer.sweep`."""

    limits: tuple[float, float] | None = None
    quantity: str = ""
    pixel_size_nm: float | None = None
    titles: Sequence[str] = ()
    captions: Any = None

    @property
    def color_map(self) -> str:
        """The color map of arrays: that of the quantity, gray without one."""
        return color_map_of(self.quantity) if self.quantity else "gray"

    def caption(self, values: Mapping[str, Any], choices: Mapping[str, Sequence[Any]]) -> str:
        """Return the line under the frame at some values of the parameters."""
        if self.captions is None:
            return ""
        if callable(self.captions):
            return str(self.captions(**values))
        index = tuple(list(choices[name]).index(value) for name, value in values.items())
        return str(lookup(self.captions, choices, index, "captions"))


def lookup(nested: Any, choices: Mapping[str, Sequence[Any]], index: tuple[int, ...], what: str = "frames") -> Any:
    """Return the entry of a nested sequence at one combination of the parameters."""
    for (name, values), i in zip(choices.items(), index, strict=True):
        if not isinstance(nested, (Sequence, np.ndarray)) or len(nested) != len(values):
            got = f"{len(nested)}" if hasattr(nested, "__len__") else type(nested).__name__
            raise fail(what, expected=f"{len(values)} along {name}", got=got, remedy="nest them as the parameters")
        nested = nested[i]
    return nested


def unpacked(frame: Any) -> bytes | NDArray[Any]:
    """Return a figure drawn as a PNG, or the array."""
    figure = frame if hasattr(frame, "savefig") else getattr(frame, "figure", None)
    if figure is not None:
        return _figure_png(figure)
    pixels = np.asarray(frame)
    if pixels.dtype.kind not in "biuf" or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)):
        raise fail(
            "frame",
            expected="a matplotlib figure or an array (y, x) or (y, x, 3)",
            got=f"{type(frame).__name__} of shape {pixels.shape}",
            remedy="return the figure, or the Axes that a plotting function returns",
            error=TypeError,
        )
    return pixels.astype(np.float64) if pixels.ndim == 2 else pixels.astype(np.uint8)


def encode(made: bytes | NDArray[Any], limits: tuple[float, float] | None, cmap: str = "gray") -> tuple[str, int, int]:
    """Return a frame as a data address and the size at which it is shown, twice as coarse as its pixels."""
    from PIL import Image

    if isinstance(made, bytes):
        with Image.open(io.BytesIO(made)) as image:
            return _webp(image.convert("RGB"), 2)
    pixels = _colored(made, limits or choose_limits(None, [made], cmap), cmap) if made.ndim == 2 else made
    times = max(1, round(640 / pixels.shape[1]))
    size = (pixels.shape[1] * times, pixels.shape[0] * times)
    return _webp(Image.fromarray(pixels).resize(size, Image.Resampling.NEAREST), 2)


def _colored(values: NDArray[np.float64], limits: tuple[float, float], cmap: str) -> NDArray[np.uint8]:
    """Return values as colors (y, x, 3); what was not measured is light gray."""
    import matplotlib as mpl

    level = np.clip((values - limits[0]) / (limits[1] - limits[0]), 0, 1)
    colors = mpl.colormaps[cmap].with_extremes(bad=(0.85, 0.85, 0.85, 1.0))
    return np.asarray(colors(np.ma.masked_invalid(level), bytes=True)[..., :3], dtype=np.uint8)


def _figure_png(figure: Any) -> bytes:
    import matplotlib.pyplot as plt

    data = png(figure, dpi=2 * SHOWN_DPI)
    plt.close(figure)  # or the notebook shows it a second time
    return data


def _webp(image: Any, density: int) -> tuple[str, int, int]:
    stream = io.BytesIO()
    image.save(stream, format="webp", lossless=True, quality=90, method=4)
    address = "data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
    return address, round(image.width / density), round(image.height / density)


def to_png(address: str) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    with Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))) as image:
        image.quantize(64).save(stream, format="png", optimize=True)
    return stream.getvalue()
