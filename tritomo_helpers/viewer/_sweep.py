"""A figure for every value of a parameter, computed beforehand, with sliders that work."""

import base64
import io
import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._validation import fail
from ._color import choose_limits
from ._page import Viewer, check_alt, png

MAX_FRAMES = 200
SHOWN_DPI = 100
_UNITS = {"nm": "nm", "deg": "°", "ev": "eV", "kev": "keV", "mrad": "mrad", "px": "px", "percent": "%"}


class LiveSweep:
    """The sweep with a kernel behind it: every frame is computed when its slider gets there.

    Parameters
    ----------
    frame : callable
        Parameters in, figure or array out.
    labels, values : mapping
        Of the parameters, by name.
    alt : str
        What it shows.
    limits : (float, float), optional
        As for :func:`sweep`.

    Attributes
    ----------
    sliders : dict of str to ipywidgets.SelectionSlider
    widget : ipywidgets.VBox
    """

    def __init__(
        self,
        frame: Callable[..., Any],
        labels: Mapping[str, str],
        values: Mapping[str, Sequence[Any]],
        alt: str,
        limits: tuple[float, float] | None = None,
    ) -> None:
        import ipywidgets as widgets

        self._frame, self._alt, self._values, self._labels, self._limits = frame, alt, values, labels, limits
        self.sliders = {
            name: widgets.SelectionSlider(
                options=[(_text(v), v) for v in values[name]],
                value=values[name][len(values[name]) // 2],
                description=labels[name],
                continuous_update=False,
                style={"description_width": "initial"},
            )
            for name in values
        }
        self.picture = widgets.HTML()
        for slider in self.sliders.values():
            slider.observe(lambda _: self.draw(), names="value")
        self.widget = widgets.VBox([self.picture, *self.sliders.values()])
        self.draw()

    def draw(self) -> None:
        """Compute and show the frame at the sliders' values."""
        from html import escape

        now = {name: slider.value for name, slider in self.sliders.items()}
        source, width, _ = _encode(_unpacked(self._frame(**now)), self._limits)
        words = ", ".join(f"{self._labels[n]}: {_text(v)}" for n, v in now.items())
        style = "max-width: 100%; height: auto"
        self.picture.value = (
            f'<img src="{source}" alt="{escape(f"{self._alt} {words}.", quote=True)}" width="{width}" style="{style}">'
        )

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return self.widget._repr_mimebundle_(**options)

    def save(self, path: Any) -> Any:
        """Compute all frames and write them as a page, as :meth:`Viewer.save` does."""
        return sweep(
            self._frame, alt=self._alt, labels=self._labels, limits=self._limits, live=False, **self._values
        ).save(path)


def sweep(
    frames: Callable[..., Any] | Sequence[Any],
    *,
    alt: str,
    labels: Mapping[str, str] | None = None,
    limits: tuple[float, float] | None = None,
    live: bool | None = None,
    **parameters: Sequence[Any],
) -> Viewer | LiveSweep:
    """Show a figure with a slider for each of one to three parameters.

    The frames are computed beforehand and put into the page, so the sliders work where there is no kernel. In a
    notebook with a kernel the same call computes each frame when it is asked for.

    Parameters
    ----------
    frames : callable or nested sequence
        ``frames(**parameters)`` returns a matplotlib Figure or Axes, or an array: (y, x), shown in gray, or (y, x, 3)
        of uint8. Or the frames themselves, nested in the order of the parameters.
    alt : str
        What it shows, for readers who do not see it; the parameters are added.
    labels : mapping, optional
        What to call a parameter. Default: its name, with the unit that ends it in parentheses.
    limits : (float, float), optional
        Values of an array (y, x) that are black and white. Default: the range of all frames together, or of each frame
        when they are computed live.
    live : bool, optional
        Whether a kernel computes the frames. Default: only for a callable, in a notebook opened by a Jupyter server
        (which sets ``JPY_SESSION_NAME``), and never while the book is built (``TRITOMO_BOOK_BUILD``), so that no page
        gets a slider that does nothing.
    **parameters : sequence
        Values of each parameter, in the order of the sliders.

    Returns
    -------
    Viewer or LiveSweep
        Displayed by a notebook; ``save(path)`` writes a page.

    Raises
    ------
    ValueError
        If there are no or more than three parameters, more than 200 combinations, or frames that do not match.
    TypeError
        If a frame is neither a figure nor an array.

    Examples
    --------
    >>> sweep(lambda sigma_px: np.eye(8) * sigma_px, alt="A line.", sigma_px=[1, 2, 3])
    Viewer(sweep: A line.)
    """
    alt = check_alt(alt)
    values = {name: list(v) for name, v in parameters.items()}
    shape = tuple(len(v) for v in values.values())
    if not 1 <= len(values) <= 3 or 0 in shape:
        raise fail("parameters", expected="one to three with values", got=values, remedy="give e.g. sigma_px=[1, 2]")
    if int(np.prod(shape)) > MAX_FRAMES:
        raise fail(
            "parameters", expected=f"at most {MAX_FRAMES} frames", got=int(np.prod(shape)), remedy="give fewer values"
        )
    names = {name: (labels or {}).get(name, _label(name)) for name in values}
    if live is None:
        live = callable(frames) and "JPY_SESSION_NAME" in os.environ and not os.environ.get("TRITOMO_BOOK_BUILD")
    if live:
        if not callable(frames):
            raise fail("frames", expected="a function when live", got=type(frames).__name__, remedy="give live=False")
        return LiveSweep(frames, names, values, alt, limits)
    made = [_unpacked(_frame(frames, values, index)) for index in itertools.product(*map(range, shape))]
    images = [m for m in made if isinstance(m, np.ndarray) and m.ndim == 2]
    limits = choose_limits(limits, images, "gray") if limits is not None or images else None
    encoded = [_encode(m, limits) for m in made]
    sizes = sorted({(width, height) for _, width, height in encoded})
    if len(sizes) > 1:
        raise fail("frames", expected="one size", got=sizes, remedy="make all with one figsize")
    pictures = list(dict.fromkeys(e[0] for e in encoded))
    config = {
        "alt": alt,
        "pictures": pictures,
        "frames": [pictures.index(e[0]) for e in encoded],
        "width": encoded[0][1],
        "height": encoded[0][2],
        "parameters": [
            {"label": names[n], "texts": [_text(v) for v in values[n]], "start": len(values[n]) // 2} for n in values
        ],
    }
    middle = int(np.ravel_multi_index([n // 2 for n in shape], shape))
    return Viewer("sweep", alt, config, _to_png(encoded[middle][0]))


def _label(name: str) -> str:
    """``"cutoff_per_ev"`` keeps its words, ``"sigma_px"`` becomes ``"sigma (px)"``."""
    *words, last = name.split("_")
    if words and last.lower() in _UNITS and words[-1] != "per":
        return f"{' '.join(words)} ({_UNITS[last.lower()]})"
    return " ".join([*words, last])


def _text(value: Any) -> str:
    if isinstance(value, (float, np.floating)):
        return f"{value:.6g}".replace("-", "−")
    return str(value).replace("-", "−") if isinstance(value, (int, np.integer)) else str(value)


def _frame(frames: Any, values: Mapping[str, Sequence[Any]], index: tuple[int, ...]) -> Any:
    """Compute, or look up, the frame at one combination."""
    if callable(frames):
        return frames(**{name: values[name][i] for name, i in zip(values, index, strict=True)})
    for (name, choices), i in zip(values.items(), index, strict=True):
        if not isinstance(frames, (Sequence, np.ndarray)) or len(frames) != len(choices):
            got = f"{len(frames)}" if hasattr(frames, "__len__") else type(frames).__name__
            raise fail("frames", expected=f"{len(choices)} along {name}", got=got, remedy="nest them as the parameters")
        frames = frames[i]
    return frames


def _unpacked(frame: Any) -> bytes | NDArray[Any]:
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


def _encode(made: bytes | NDArray[Any], limits: tuple[float, float] | None) -> tuple[str, int, int]:
    """Return a frame as a data address and the size at which it is shown, twice as coarse as its pixels."""
    from PIL import Image

    if isinstance(made, bytes):
        with Image.open(io.BytesIO(made)) as image:
            return _webp(image.convert("RGB"), 2)
    pixels = _gray(made, limits or choose_limits(None, [made], "gray")) if made.ndim == 2 else made
    times = max(1, round(640 / pixels.shape[1]))
    size = (pixels.shape[1] * times, pixels.shape[0] * times)
    return _webp(Image.fromarray(pixels).resize(size, Image.Resampling.NEAREST), 2)


def _gray(values: NDArray[np.float64], limits: tuple[float, float]) -> NDArray[np.uint8]:
    level = np.rint(255 * np.clip((values - limits[0]) / (limits[1] - limits[0]), 0, 1))
    return np.repeat(np.where(np.isfinite(level), level, 217)[..., None], 3, axis=2).astype(np.uint8)


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


def _to_png(address: str) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    with Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))) as image:
        image.quantize(64).save(stream, format="png", optimize=True)
    return stream.getvalue()
