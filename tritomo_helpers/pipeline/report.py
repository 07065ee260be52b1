"""One page that holds everything: no server, no other file."""

import base64
import html
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .. import plotting, viewer
from .._typing import Floats
from ..containers import Tomogram
from ..plotting.style import typeset

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1b; --paper: #fff; --soft: #f2f2f2; --line: #ccc; --warn: #8a3b00; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e8e8; --paper: #161616; --soft: #242424; --line: #555; --warn: #ffb27a; }
}
body { margin: 0 auto; max-width: 62rem; padding: 1rem; font: 1rem/1.5 system-ui, sans-serif; color: var(--ink);
  background: var(--paper); }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
table { border-collapse: collapse; } td, th { padding: .25rem .8rem .25rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); }
.wide { overflow-x: auto; } .numbers td { white-space: nowrap; }
pre { background: var(--soft); padding: .8rem; white-space: pre-wrap; }
.warnings { border-left: .3rem solid var(--warn); padding: .1rem 1rem; background: var(--soft); }
.warnings h2 { margin-top: .5rem; color: var(--warn); }
figure { margin: 1rem 0; } figure img { max-width: 100%; background: #fff; }
.profiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); gap: 0 1rem; }
summary { font-weight: 600; margin: 1rem 0; cursor: pointer; } figcaption { font-size: .85rem; }
"""

_WITH_INTERVAL = {"at_percent": 2, "percent": 1, "decay_nm": 0, "Mn4_coupling": 2}
"""What has an interval, and the decimals that it is worth."""
_NAMES = {
    "n_tilts": "tilts used",
    "volume_nm3": "volume (nm³)",
    "largest_extent_nm": "largest extent (nm)",
    "n_shells": "shells of one voxel",
    "r_factor": "R factor of the reconstruction",
    "surface_density": "density of the outermost shell (particle = 1)",
    "atoms_per_nm3": "atoms of O, Mn, Co and Ni (per nm³), from t/λ or that of NCM111",
    "rock_salt_percent_of_visible_atom": "rock salt, if that is why oxygen is missing (% of visible atoms)",
    "rock_salt_percent_of_metal": "the same (% of the metal)",
    "rock_salt_percent_of_volume": "the same (% of the volume)",
}


def report_page(
    summary: Mapping[str, Any], volumes: Mapping[str, Tomogram], columns: Mapping[str, Floats], *, table: str
) -> str:
    """Return the report of one particle as HTML: warnings first, then figures, then how it was made."""
    name = html.escape(str(summary["particle"]))
    return document(
        f"{name}: results",
        [
            f"<h1>{name}</h1>",
            f"<p>Method: {html.escape(str(summary['method']))}. Done: {html.escape(', '.join(summary['done']))}.</p>",
            _warnings(summary),
            "<h2>The particle</h2>",
            rows(with_intervals(summary["values"])),
            *_verdict_table(summary["verdicts"]),
            "<h2>Slices</h2>",
            *_slices(volumes, str(summary["particle"])),
            "<h2>Profiles</h2>",
            '<div class="profiles">',
            *(_profile_figure(columns, name) for name in columns if name.endswith("_mean")),
            "</div>",
            "<h2>What limits this</h2>",
            _listed(summary["limits"]),
            "<h2>What the files were taken for</h2>",
            f'<div class="wide" tabindex="0"><pre>{html.escape(table)}</pre></div>',
        ],
    )


def document(title: str, body: Sequence[str]) -> str:
    """Return a page that needs nothing else."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>\n'
        f"<body><main>\n{''.join(f'{piece}{chr(10)}' for piece in body)}</main></body></html>\n"
    )


def rows(pairs: Sequence[tuple[str, str]]) -> str:
    """Return a table of two columns."""
    cells = "".join(f'<tr><th scope="row">{html.escape(a)}</th><td>{html.escape(b)}</td></tr>' for a, b in pairs)
    return f'<div class="wide numbers" tabindex="0"><table>{cells}</table></div>'


def _slices(volumes: Mapping[str, Tomogram], particle: str) -> list[str]:
    """Return linked slices of every volume: density open, the others to be opened, so that the page stays short."""
    pieces = []
    for name, tomogram in volumes.items():
        seen = tomogram.values[np.isfinite(tomogram.values)]
        if np.ptp(seen) < 1e-3:
            quantity = html.escape(tomogram.quantity)
            pieces.append(f"<p>{quantity}: {seen[0]:.2f} everywhere; these counts support no more than that.</p>")
            continue
        picture = viewer.show_volume(tomogram, alt=f"Three linked slices: {tomogram.quantity} of {particle}.").html
        is_open = " open" if name == "adf" else ""
        title = html.escape(typeset(tomogram.quantity))
        pieces.append(f"<details{is_open}><summary>{title}</summary>{picture}</details>")
    return pieces


def with_intervals(values: Mapping[str, float]) -> list[tuple[str, str]]:
    """Return the rows of the table of values, each with its 95 % interval where it has one."""
    pairs = []
    for key, value in values.items():
        stem, _, what = key.partition("_")
        low, high = (f"{stem}_decay_{e}_nm" if what == "decay_nm" else f"{stem}_{e}" for e in ("low", "high"))
        if what == "Mn4_coupling":
            low, high = f"{key}_low", f"{key}_high"
        if key.endswith(("_low", "_high", "_low_nm", "_high_nm", "_standard_error")):
            continue
        text = f"{value:,}"
        if low in values and high in values and what in _WITH_INTERVAL:
            digits = _WITH_INTERVAL[what]
            text = f"{value:.{digits}f} ({values[low]:.{digits}f} to {values[high]:.{digits}f})"
        pairs.append((name_of(key), text))
    return pairs


def name_of(key: str) -> str:
    """Return what a value of summary.json is called where it is read."""
    stem, _, what = key.partition("_")
    known = {
        "at_percent": "(at%)",
        "percent": "(% of its element)",
        "rich_percent": "above 16.7 at% (% of voxels)",
        "null_rich_percent": "above 16.7 at% in the null (% of voxels)",
        "decay_nm": "inhomogeneity, decay length (nm)",
        "Mn4_coupling": "with Mn⁴⁺ at equal depth (correlation)",
        "Mn4_coupling_p": "with Mn⁴⁺ at equal depth (p)",
    }
    return _NAMES.get(key) or f"{typeset(stem)} {known.get(what, typeset(what.replace('_', ' ')))}"


def _label(quantity: str) -> str:
    name, _, unit = quantity.partition("_")
    return f"{typeset(name)} (at%)" if unit == "at_percent" else f"{typeset(name)} (% of its element)"


def _listed(items: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{html.escape(item)}</li>' for item in items)}</ul>"


def _warnings(summary: Mapping[str, Any]) -> str:
    said = [*summary["warnings"], *(f"No {what}: {why}." for what, why in summary["not_done"].items())]
    return f'<section class="warnings"><h2>Read this first</h2>{_listed(said)}</section>' if said else ""


def _verdict_table(verdicts: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the statements beside their nulls."""
    if not verdicts:
        return []
    head = ("statement", "verdict", "p", "measured", "95 % of the null", "unit")
    lines = []
    for verdict in verdicts:
        low, high = verdict["null"]
        said = "yes" if verdict["positive"] else "not beyond the null"
        numbers = (f"{verdict['measured']:.3g}", f"{low:.3g} to {high:.3g}", verdict["unit"])
        cells = (typeset(verdict["statement"]), said, f"{verdict['p_value']:.3f}", *numbers)
        lines.append("".join(f"<td>{html.escape(cell)}</td>" for cell in cells))
    titles = "".join(f'<th scope="col">{title}</th>' for title in head)
    return [
        "<h2>Verdicts</h2>",
        "<p>Each beside the same particle without any variation, at the same noise: one linear estimate with fixed "
        "settings of both. At 5 %, one of twenty verdicts on nothing is a yes.</p>",
        '<div class="wide numbers" tabindex="0">',
        f"<table><tr>{titles}</tr>{''.join(f'<tr>{x}</tr>' for x in lines)}</table></div>",
    ]


def _profile_figure(columns: Mapping[str, Floats], name: str) -> str:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    quantity = name.removesuffix("_mean")
    label = "density (particle = 1)" if quantity == "density" else _label(quantity)
    error = columns.get(f"{quantity}_standard_error")
    known = error is not None and bool(np.isfinite(error).any())
    mean, bars = columns[name], 1.96 * error if error is not None and known else columns[f"{quantity}_sd"]
    meaning = "95 % interval of the mean" if known else "standard deviation of its voxels"
    figure = Figure(figsize=(3.7, 2.5), layout="constrained")
    axes = figure.add_subplot()
    color = plotting.color_of("ADF" if quantity == "density" else quantity.split("_")[0])
    axes.errorbar(columns["depth_nm"], mean, bars, color=color, marker="o", markersize=4)
    axes.set(xlabel="depth (nm)", ylabel=label)
    picture = io.BytesIO()
    # Without a date and with ids that do not change, so that the same result gives the same file.
    with mpl.rc_context({"svg.hashsalt": "report", "svg.fonttype": "path"}):
        figure.savefig(picture, format="svg", metadata={"Date": None}, facecolor="white")
    alt = f"{label} against depth: {mean[0]:.3g} in the outermost shell, {np.nanmax(mean):.3g} at most."
    address = base64.b64encode(picture.getvalue()).decode("ascii")
    return (
        f'<figure><img alt="{alt}" src="data:image/svg+xml;base64,{address}">'
        f"<figcaption>Mean {label} of each shell; bars: {meaning}.</figcaption></figure>"
    )
