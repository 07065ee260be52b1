"""The HTML around a viewer: one element, its data, its style and its script, nothing from outside."""

import base64
import functools
import html
import io
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from .._validation import fail
from ..containers import Tomogram
from ..store.files import atomic_file

_DOCUMENT = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ margin: 16px auto; padding: 0 12px; max-width: 860px; background: #fff; color: #1f2328; }}
html.tritomo-dark body {{ background: #14181e; color: #e6e8eb; }}
h1 {{ font: 500 15px/1.4 system-ui, sans-serif; margin: 0 2px 12px; }}
</style>
<script>
if (matchMedia("(prefers-color-scheme: dark)").matches) document.documentElement.classList.add("tritomo-dark");
</script>
</head>
<body><main>
<h1>{title}</h1>
{body}
</main></body>
</html>
"""


def asset(name: str) -> str:
    """Text of a file shipped beside this module."""
    return resources.files(__package__).joinpath("assets", name).read_text(encoding="utf-8")


def check_alt(alt: object) -> str:
    """Return `alt` stripped, or raise ValueError unless it says something."""
    if not isinstance(alt, str) or not alt.strip():
        raise fail(
            "alt", expected="a sentence for readers who do not see it", got=repr(alt), remedy="say what it shows"
        )
    return " ".join(alt.split())


@dataclass(frozen=True, eq=False)
class Viewer:
    """A figure that works without a kernel and without a network.

    Returned by the ``show_*`` functions; a notebook displays it, :meth:`save` writes it as a page of its own.

    Parameters
    ----------
    kind : str
        Which script draws it.
    alt : str
        What a reader who does not see it needs to know.
    config : dict
        What the script needs, ready for JSON.
    draw : callable
        Returns the first view as a PNG; called once, when it is asked for.
    """

    kind: str
    alt: str
    config: dict[str, Any]
    draw: Callable[[], bytes] = field(repr=False)

    @functools.cached_property
    def still(self) -> bytes:
        """The first view as a PNG: seen where scripts do not run (GitHub, print, an untrusted notebook)."""
        return self.draw()

    @property
    def data(self) -> str:
        """What the script reads, as JSON that may stand in a page."""
        config = _without_nan(self.config | {"css": asset("viewer.css")})
        text = json.dumps(config, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        # Inside a script element neither "</script" nor "<!--" may stand, in a label or anywhere else.
        return text.replace("<", "\\u003c")

    @property
    def html(self) -> str:
        """The element with everything it needs, to be placed anywhere in a page."""
        alt = html.escape(self.alt, quote=True)
        still = base64.b64encode(self.still).decode("ascii")
        function = f"mount{self.kind.capitalize()}"
        script = f'(() => {{\n"use strict";\n{_lean(asset("common.js"))}{_lean(asset(f"{self.kind}.js"))}'
        return (
            f'<div class="tritomo-viewer" data-kind="{self.kind}" role="group" aria-label="{alt}">'
            f"<style>{asset('page.css')}</style>"
            f'<img class="still" alt="{alt}" src="data:image/png;base64,{still}">'
            f'<script type="application/json">{self.data}</script></div>\n'
            f"<script>{script}mountAll({{ {self.kind}: {function} }});\n}})();</script>"
        )

    def _repr_html_(self) -> str:
        return self.html

    def _repr_png_(self) -> bytes:
        return self.still

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.kind}: {self.alt})"

    def save(self, path: str | Path) -> Path:
        """Write a page that opens from disk in any browser of 2023 or later.

        Parameters
        ----------
        path : str or Path
            Where to, usually ``*.html``. Replaced in one step when it exists; its folder is made.

        Returns
        -------
        Path
            The same path.
        """
        path = Path(path)
        page = _DOCUMENT.format(title=html.escape(self.alt), body=self.html)
        with atomic_file(path) as writing:
            writing.write_text(page, encoding="utf-8")
        return path


def _without_nan(value: Any) -> Any:
    """Return a configuration with null for numbers that JSON does not know.

    Examples
    --------
    >>> _without_nan({"a": [1.0, float("nan")], "b": "nan"})
    {'a': [1.0, None], 'b': 'nan'}
    """
    if isinstance(value, dict):
        return {name: _without_nan(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _lean(script: str) -> str:
    """Return a script without its comment lines and indentation."""
    lines = (line.strip() for line in script.splitlines())
    return "".join(f"{line}\n" for line in lines if line and not line.startswith("//"))


def png(figure: Any, *, dpi: int | None = None) -> bytes:
    """Return a figure as a PNG of at most 128 colors, hard to tell from the full one; coarser if it would be large."""
    from PIL import Image

    small = b""
    for choice in (110, 72) if dpi is None else (dpi,):
        full, reduced = io.BytesIO(), io.BytesIO()
        figure.savefig(full, format="png", dpi=choice, facecolor="white")
        with Image.open(full) as image:
            image.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(reduced, format="png", optimize=True)
        small = reduced.getvalue()
        if len(small) <= 35_000:
            break
    return small


def wrong_type(what: str, got: object, wanted: str, remedy: str) -> Exception:
    return fail(what, expected=f"a {wanted}", got=type(got).__name__, remedy=f"wrap it: {remedy}", error=TypeError)


def check_tomogram(tomogram: object, what: str) -> None:
    if not isinstance(tomogram, Tomogram):
        raise wrong_type(what, tomogram, "Tomogram", "Tomogram(values, voxel_size_nm, quantity)")
