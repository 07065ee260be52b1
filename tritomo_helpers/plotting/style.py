"""The style of the book, and how its figures leave a notebook."""

from __future__ import annotations

import re
from importlib.resources import as_file, files
from io import BytesIO
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .._validation import checked

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito, Color Universal Design (2008): safe for color-blind readers. Valence states are shades of their
# element, dark for high.
ELEMENT_COLORS: Final = MappingProxyType({"O": "#D55E00", "Mn": "#CC79A7", "Co": "#0072B2", "Ni": "#009E73"})
VALENCE_COLORS: Final = MappingProxyType(
    {
        "Mn4": "#7A2E5A",
        "Mn3": "#CC79A7",
        "Mn2": "#E3A9C8",
        "Co3": "#004B76",
        "Co2": "#56A5D8",
        "Ni2": "#009E73",
    },
)
#: Color maps that figures and viewers offer.
COLOR_MAPS: Final = ("gray", "cividis", "magma", "RdBu_r", "RdBu")

# Keyword arguments for ``Axes.plot``, ``Axes.errorbar`` and, for the null, ``Axes.fill_between``.
TRUTH: Final[dict[str, Any]] = {"color": "black", "linestyle": "--", "linewidth": 1.4, "zorder": 3}
NULL: Final[dict[str, Any]] = {"color": "0.75", "alpha": 0.6, "linewidth": 0, "zorder": 1}
PAPER: Final[dict[str, Any]] = {"marker": "o", "linestyle": "none", "markerfacecolor": "white", "markeredgewidth": 1.6}
OURS: Final[dict[str, Any]] = {"marker": "o", "linestyle": "-", "capsize": 3}


@checked
def use_style() -> None:
    """Apply the style of the book and choose how figures are shown in a notebook.

    Line plots are shown as SVG, which stays sharp at any size. Figures that hold an image or many points are shown as
    PNG at twice the displayed size. Call it once, in the first cell.

    Examples
    --------
    >>> use_style()
    >>> import matplotlib
    >>> matplotlib.rcParams["savefig.facecolor"]
    'white'
    """
    import matplotlib as mpl

    with as_file(files(__package__) / "tritomo.mplstyle") as path:
        mpl.rcParams.update(mpl.rc_params_from_file(path, use_default_template=False))
    _register_formatters()


def _register_formatters() -> None:
    """Tell IPython, where there is one, to show a figure as SVG or PNG depending on what it holds."""
    try:
        from IPython.core.getipython import get_ipython
    except ImportError:  # outside notebooks IPython is not needed
        return
    shell = get_ipython()
    formatter = getattr(shell, "display_formatter", None)
    if formatter is None:
        return
    import matplotlib as mpl
    import matplotlib.pyplot as plt
    from matplotlib.figure import Figure

    # Loading the inline backend makes it set its own formatters, once. That must have happened before we set ours, and
    # asking for its name does not load it.
    plt.switch_backend(mpl.get_backend())
    formatter.formatters["image/svg+xml"].for_type(Figure, figure_svg)
    formatter.formatters["image/png"].for_type(Figure, figure_png)


def _needs_pixels(figure: Figure) -> bool:
    """Whether a figure holds images or so many points that an SVG would be larger than a PNG."""
    many_points = 30_000
    for axes in figure.axes:
        if hasattr(axes, "_colorbar"):
            continue
        if axes.images or any(type(c).__name__ in {"QuadMesh", "PolyQuadMesh"} for c in axes.collections):
            return True
    n_points = sum(np.size(line.get_xdata()) for axes in figure.axes for line in axes.lines)
    return n_points > many_points


def figure_svg(figure: Figure) -> str | None:
    """Return a figure of lines as SVG text, or None when it has to be shown in pixels.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> figure = Figure()
    >>> _ = figure.subplots().plot([0, 1])
    >>> "<svg" in figure_svg(figure), figure_png(figure) is None
    (True, True)
    """
    if _needs_pixels(figure):
        return None
    stream = BytesIO()
    # A date in the file would make every build differ.
    figure.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue().decode()


def figure_png(figure: Figure) -> tuple[bytes, dict[str, int]] | None:
    """Return a figure that holds images as PNG at twice the size it is displayed at, or None for a figure of lines.

    Only the width is passed on: with both, a narrow screen would distort the picture.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> figure = Figure(figsize=(2, 1), dpi=96)
    >>> _ = figure.subplots().imshow([[0, 1]])
    >>> data, metadata = figure_png(figure)
    >>> data[1:4], metadata
    (b'PNG', {'width': 192})
    """
    if not _needs_pixels(figure):
        return None
    stream = BytesIO()
    figure.savefig(stream, format="png", dpi=2 * figure.dpi)
    return stream.getvalue(), {"width": round(figure.get_figwidth() * figure.dpi)}


@checked
def element_of(label: str) -> str:
    """Return the element that a label such as ``"Mn L3"``, ``"Mn4+"`` or ``"O K"`` begins with.

    Examples
    --------
    >>> element_of("Mn L3"), element_of("O K"), element_of("Co3+")
    ('Mn', 'O', 'Co')
    """
    match = re.match(r"[A-Z][a-z]?", label)
    return match.group() if match else ""


@checked
def color_of(label: str, default: str = "0.25") -> str:
    """Return the color of the valence state or element that a label names, or the default.

    Examples
    --------
    >>> color_of("O K"), color_of("total")
    ('#D55E00', '0.25')
    """
    state = re.match(r"([A-Z][a-z]?)(\d)\+?(?!\w)", label)
    if state:
        key = state.group(1) + state.group(2)
        for name, color in VALENCE_COLORS.items():
            if name.rstrip("+") == key:
                return color
    return ELEMENT_COLORS.get(element_of(label), default)


def typeset(label: str) -> str:
    """Return a label in which the valence states are written as chemists write them.

    Examples
    --------
    >>> typeset("Mn4"), typeset("Co3+, surface"), typeset("Mn L3")
    ('Mn⁴⁺', 'Co³⁺, surface', 'Mn L3')
    """
    raised = str.maketrans("234", "²³⁴")
    return re.sub(r"\b(Mn|Co|Ni)([234])(?!\w)\+?", lambda state: state[1] + state[2].translate(raised) + "⁺", label)


@checked
def color_map_of(quantity: str) -> str:
    """Return the color map of a quantity: intensities gray, differences red to blue, everything else cividis.

    Examples
    --------
    >>> color_map_of("ADF (counts)"), color_map_of("difference (at%)"), color_map_of("Mn (at%)")
    ('gray', 'RdBu_r', 'cividis')
    """
    words = quantity.lower()
    if "difference" in words or "error" in words or words.startswith("δ"):
        return "RdBu_r"
    return "gray" if words.startswith(("adf", "haadf", "intensity")) else "cividis"
