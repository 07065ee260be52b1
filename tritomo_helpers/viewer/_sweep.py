"""A figure for every value of a parameter, computed beforehand, with sliders that work."""

import functools
import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from .._validation import check_positive, checked, fail
from ..plotting.style import typeset
from ._color import choose_limits, color_stops
from ._frames import Look, encode, lookup, to_png, unpacked
from ._page import Viewer, check_alt

MAX_FRAMES = 200
_UNITS = {"nm": "nm", "deg": "°", "ev": "eV", "kev": "keV", "mrad": "mrad", "px": "px", "percent": "%"}


@checked
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
    look : Look, optional
        Limits, quantity, titles and captions, as for :func:`sweep`.

    Attributes
    ----------
    sliders : dict of str to ipywidgets.SelectionSlider or ToggleButtons
    widget : ipywidgets.VBox

    Examples
    --------
    >>> live = LiveSweep(lambda gain: gain * np.eye(2), {"gain": "Gain"}, {"gain": [1.0, 2.0]}, "A brighter diagonal")
    >>> live.sliders["gain"].value
    2.0
    """

    def __init__(
        self,
        frame: Callable[..., Any],
        labels: Mapping[str, str],
        values: Mapping[str, Sequence[Any]],
        alt: str,
        look: Look | None = None,
    ) -> None:
        import ipywidgets as widgets

        self._frame, self._alt, self._values, self._labels, self._look = frame, alt, values, labels, look or Look()
        self.sliders = {}
        for name, choices in values.items():
            options: dict[str, Any] = {
                "options": [(_text(v), v) for v in choices],
                "value": choices[len(choices) // 2],
                "description": labels[name],
                "style": {"description_width": "initial"},
            }
            if _has_order(choices):
                self.sliders[name] = widgets.SelectionSlider(continuous_update=False, **options)
            else:
                self.sliders[name] = widgets.ToggleButtons(**options)
        self.picture = widgets.HTML()
        for slider in self.sliders.values():
            slider.observe(lambda _: self.draw(), names="value")
        self.widget = widgets.VBox([self.picture, *self.sliders.values()])
        self.draw()

    def draw(self) -> None:
        """Compute and show the frame at the sliders' values."""
        now = {name: slider.value for name, slider in self.sliders.items()}
        source, width, _ = encode(unpacked(self._frame(**now)), self._look.limits, self._look.color_map)
        words = ", ".join(f"{self._labels[n]}: {_text(v)}" for n, v in now.items())
        titles = " | ".join(map(escape, self._look.titles))
        self.picture.value = (
            f"<div>{titles}</div>"
            f'<img src="{source}" alt="{escape(f"{self._alt} {words}.", quote=True)}" width="{width}" '
            f'style="max-width: 100%; height: auto"><div>{escape(self._look.caption(now, self._values))}</div>'
        )

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return self.widget._repr_mimebundle_(**options)

    def save(self, path: Any) -> Any:
        """Compute all frames and write them as a page, as :meth:`Viewer.save` does."""
        look = {name: getattr(self._look, name) for name in self._look.__dataclass_fields__}
        options: dict[str, Any] = {**look, **self._values}
        return sweep(self._frame, alt=self._alt, labels=self._labels, live=False, **options).save(path)


@checked
def sweep(
    frames: Callable[..., Any] | Sequence[Any],
    *,
    alt: str,
    labels: Mapping[str, str] | None = None,
    limits: tuple[float, float] | None = None,
    quantity: str = "",
    pixel_size_nm: float | None = None,
    titles: Sequence[str] = (),
    captions: Callable[..., str] | Sequence[Any] | None = None,
    live: bool | None = None,
    **parameters: Sequence[Any],
) -> Viewer | LiveSweep:
    """Show a figure with a slider, or buttons, for each of one to three parameters.

    A parameter whose values are words or truth values has no order and gets buttons. The frames are computed beforehand
    and put into the page, so the sliders work where there is no kernel. In a notebook with a kernel the same call
    computes each frame when it is asked for.

    Parameters
    ----------
    frames : callable or nested sequence
        ``frames(**parameters)`` returns a matplotlib Figure or Axes, or an array: (y, x) of values, or (y, x, 3) of
        uint8. Or the frames themselves, nested in the order of the parameters.
    alt : str
        What it shows, for readers who do not see it; the parameters are added.
    labels : mapping, optional
        What to call a parameter. Default: its name, with the unit that ends it in parentheses.
    limits : (float, float), optional
        Values of an array (y, x) at the ends of the color scale. Default: the range of all frames together, or of each
        frame when they are computed live.
    quantity : str, default ""
        What arrays hold, with unit: gives the colors and the color bar.
    pixel_size_nm : float, optional
        Side of a pixel of the arrays, nm; gives the scale bar.
    titles : sequence of str, default ()
        What stands side by side in each frame, from left to right, in equal widths.
    captions : callable or nested sequence of str, optional
        The line under each frame, such as the error there: ``captions(**parameters)``, or nested as the frames.
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
    >>> sweep(lambda sigma_px: np.eye(8) * sigma_px, alt="A line.", quantity="ADF (counts)", sigma_px=[1, 2, 3])
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
    look = Look(limits, quantity, pixel_size_nm, titles, captions)
    names = {name: (labels or {}).get(name, _label(name)) for name in values}
    if live is None:
        live = callable(frames) and "JPY_SESSION_NAME" in os.environ and not os.environ.get("TRITOMO_BOOK_BUILD")
    if live:
        if not callable(frames):
            raise fail("frames", expected="a function when live", got=type(frames).__name__, remedy="give live=False")
        return LiveSweep(frames, names, values, alt, look)
    places = list(itertools.product(*map(range, shape)))
    combinations = [{name: values[name][i] for name, i in zip(values, place, strict=True)} for place in places]
    made = [
        unpacked(frames(**now) if callable(frames) else lookup(frames, values, place))
        for now, place in zip(combinations, places, strict=True)
    ]
    images = [m for m in made if isinstance(m, np.ndarray) and m.ndim == 2]
    shown = choose_limits(limits, images, look.color_map) if limits is not None or images else None
    encoded = [encode(m, shown, look.color_map) for m in made]
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
        "pixelated": isinstance(made[0], np.ndarray),
        "titles": list(titles),
        "captions": [look.caption(now, values) for now in combinations] if captions is not None else [],
        "parameters": [
            {
                "label": names[n],
                "texts": [_text(v) for v in values[n]],
                "start": len(values[n]) // 2,
                "ordered": _has_order(values[n]),
            }
            for n in values
        ],
    }
    if quantity and images and shown is not None:
        config["bar"] = {
            "ends": [_text(end) for end in shown],
            "quantity": typeset(quantity),
            "colors": color_stops(look.color_map),
        }
    if pixel_size_nm is not None and isinstance(made[0], np.ndarray):
        config["widthNm"] = made[0].shape[1] * check_positive(pixel_size_nm, "pixel_size_nm", remedy="give it in nm")
    middle = int(np.ravel_multi_index([n // 2 for n in shape], shape))
    return Viewer("sweep", alt, config, functools.partial(to_png, encoded[middle][0]))


def _has_order(choices: Sequence[Any]) -> bool:
    """Whether a slider makes sense: words and truth values have no order."""
    return not all(isinstance(value, str | bool | np.bool_) for value in choices)


def _label(name: str) -> str:
    """``"cutoff_per_ev"`` keeps its words, ``"sigma_px"`` becomes ``"sigma (px)"``."""
    *words, last = name.split("_")
    if words and last.lower() in _UNITS and words[-1] != "per":
        return f"{' '.join(words)} ({_UNITS[last.lower()]})"
    return " ".join([*words, last])


def _text(value: Any) -> str:
    if isinstance(value, (float, np.floating)):
        return f"{value:.6g}".replace("-", "−")
    return str(value).replace("-", "−") if isinstance(value, (int, np.integer)) else typeset(str(value))
