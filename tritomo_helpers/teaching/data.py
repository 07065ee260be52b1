"""Data for a chapter, or a clear stop; and where a figure comes from."""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ._output import box, building, publish


class ChapterStopped(RuntimeError):  # noqa: N818  (it says what happened; nothing is wrong with the code)
    """The rest of the chapter cannot run; the reason has been shown already, so no traceback follows.

    Examples
    --------
    >>> raise ChapterStopped("no network")
    Traceback (most recent call last):
        ...
    tritomo_helpers.teaching.data.ChapterStopped: no network
    """

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


def data(name: str, *, parts: Sequence[str] | None = None) -> dict[str, Path]:
    """Fetch a dataset for a chapter, or show what is missing and stop the rest of the chapter.

    Parameters
    ----------
    name : str
        Name in data_manifest.yaml.
    parts : sequence of str, optional
        Roles to fetch; all by default.

    Returns
    -------
    dict of str to Path
        The files by role, as from `tritomo_helpers.datasets.fetch`.

    Raises
    ------
    ChapterStopped
        If the dataset cannot be had: no network, no mirror, or files that fail their checksum. A box that names the
        dataset, its size, its source and the ways out is shown first.

    Examples
    --------
    >>> data("my own")
    Traceback (most recent call last):
    ...
    ValueError: dataset: expected a name in data_manifest.yaml, got 'my own'...
    """
    from .. import datasets

    entry = datasets.dataset(name)
    try:
        files = datasets.fetch(name, parts=parts, progress=not building())
    except (OSError, datasets.DatasetUnavailable) as error:
        message = html.escape(str(error)).replace("\n", "<br>")
        body = f"{message}<br>The rest of this chapter is shown without its results."
        title = f"The dataset {name} is not here."
        publish(f"{title} {error}", box(title, body, "unavailable"), record={"unavailable": {"name": name}})
        raise ChapterStopped(f"Stopped here: the dataset {name} is not available.") from None
    downloaded = sum(file.size_bytes for file in entry.files if file.role in files)
    publish("", record={"data": {"name": name, "bytes": downloaded}})
    return files


def provenance(
    *names: str,
    product: str = "",
    parameters: Mapping[str, Any] | None = None,
    command: str = "",
) -> None:
    """Show, closed under a figure, where it comes from.

    The build puts such a box under every figure by itself: the datasets and the simulations that the figure was made
    from, as the code of the chapter tells, and the cell that drew it. Call this in the cell of the figure to say more.

    Parameters
    ----------
    *names : str
        Datasets in data_manifest.yaml.
    product : str, optional
        Name of the hand-over result that was used, see `tritomo_helpers.products`.
    parameters : mapping, optional
        Settings that the figure depends on, with units in their names.
    command : str, optional
        The call that makes the figure again.
    """
    page = provenance_box(names, products=(product,) if product else (), parameters=parameters, command=command)
    publish("", page, record={"provenance": {"datasets": list(names)}})


def provenance_box(
    names: tuple[str, ...] | list[str],
    *,
    products: tuple[str, ...] | list[str] = (),
    parameters: Mapping[str, Any] | None = None,
    simulated: str = "",
    command: str = "",
) -> str:
    """Return a closed box (HTML) with datasets, checksums, version, parameters and command.

    `simulated` is the code of the chapter that made the data in place. A dataset that is generated, such as the twin,
    has no checksum: it is named by its parameters and by the key of the code that made it.

    Examples
    --------
    >>> "NMC_EELS_linescan_Jia" in provenance_box(
    ...     ["NMC_EELS_linescan_Jia"], parameters={"dose": 100}, command="acquire()"
    ... )
    True
    """
    from .. import __version__, datasets
    from .. import products as handed_over
    from ..datasets._twin import key as twin_key

    rows: list[tuple[str, str]] = []
    for name in names:
        entry = datasets.dataset(name)
        link = html.escape(entry.source, quote=True)
        what = f'<a href="{link}">{html.escape(name)}</a>' if link.startswith("http") else html.escape(name)
        rows.append(("Dataset", f"{what} ({html.escape(entry.license)})"))
        rows += [("Checksum", f"{html.escape(f.file)} <code>{f.checksum}</code>") for f in entry.files]
        if entry.generated is not None:
            generated = {"preset": "default", "control": "none", **entry.generated}
            settings = ", ".join(f"{k} = {generated[k]}" for k in sorted(generated))
            rows.append(("Parameter", f"{html.escape(settings)} (simulated)"))
            rows.append(("Key", f"<code>{twin_key(entry)}</code>, a digest of code, version and parameters"))
    for name in products:
        source = handed_over.provenance(name)
        rows.append(("Product", f"{html.escape(name)}, key <code>{source['key'][:16]}</code>"))
        rows += [("Product parameter", html.escape(f"{k} = {v}")) for k, v in source["parameters"].items()]
    rows.append(("Version", f"tritomo_helpers {html.escape(__version__)}"))
    rows += [("Parameter", html.escape(f"{k} = {v}")) for k, v in (parameters or {}).items()]
    if simulated:
        rows.append(("Simulated by", f"<pre>{html.escape(simulated)}</pre>"))
    if command:
        rows.append(("Command", f"<pre>{html.escape(command)}</pre>"))
    body = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in rows)
    return f'<details class="tt-provenance"><summary>Where this comes from</summary><dl>{body}</dl></details>'
