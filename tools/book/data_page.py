"""The page "Data and licenses" of the book, written from the manifest."""

import re
from collections.abc import Iterable

from tritomo_helpers.datasets import ArchiveMember, Dataset, manifest, size_text

_INTRO = """# Data and licenses

Every dataset of this book is described in `data_manifest.yaml`, and this page is made from that file. Real data are
downloaded from where their authors keep them, checked against the SHA-256 recorded here, and never copied into the
book's repository. Simulated data are computed on your machine the first time you ask for them.

```python
from tritomo_helpers import datasets, io

files = datasets.fetch("NMC_EELS_linescan_Jia")  # a dict: role -> path
```

`python -m tritomo_helpers data list` shows what there is, `data fetch NAME` fetches one dataset, `data fetch --all` all
real ones, and `data verify` checks what you have. Set `TRITOMO_DATA_DIR` to choose where data are kept,
`TRITOMO_DATA_MIRROR` to a folder or web address with the layout `<dataset>/<file>` to take them from there, and
`TRITOMO_OFFLINE=1` to forbid any use of the network. To add a dataset of your own, see `CONTRIBUTING.md`.
"""


def data_page() -> str:
    """Return the page "Data and licenses" as Markdown, one section per dataset.

    Returns
    -------
    str
        MyST Markdown that starts with the page's title. Section labels are ``data-<name in lower case>``.

    Examples
    --------
    >>> data_page().splitlines()[0]
    '# Data and licenses'
    """
    entries = manifest().values()
    real = [entry for entry in entries if entry.generated is None]
    simulated = [entry for entry in entries if entry.generated is not None]
    parts = [_INTRO, _overview(real), "## Real data\n", *map(_section, real)]
    if simulated:
        parts += ["## Simulated data\n", _twins(simulated)]
    return "\n".join(parts)


def words(text: str) -> str:
    r"""Return a text of the manifest so that Markdown shows it as it is; only code between backticks stays code.

    Examples
    --------
    >>> words("a_b <c> `d_e` $1 [x](y)")
    'a\\_b \\<c\\> `d_e` \\$1 \\[x\\](y)'
    """
    pieces = re.split(r"(`[^`]+`)", text)
    return "".join(p if i % 2 else re.sub(r"([\\*_\[\]<>{}$|#`~])", r"\\\1", p) for i, p in enumerate(pieces))


def _label(name: str) -> str:
    return "data-" + name.lower().replace("_", "-").replace("/", "-")


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table.

    Examples
    --------
    >>> table(("a", "b"), [("1", "2")]).splitlines()
    ['| a | b |', '| --- | --- |', '| 1 | 2 |']
    """
    lines = [list(head), *map(list, rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return (
        "\n".join("| " + " | ".join(re.sub(r"(?<!\\)\|", r"\\|", cell) for cell in line) + " |" for line in lines)
        + "\n"
    )


def _overview(entries: list[Dataset]) -> str:
    total = sum(entry.size_bytes for entry in entries)
    rows = (
        (
            f"[{words(entry.title)}](#{_label(entry.name)})",
            words(", ".join(entry.technique)),
            size_text(entry.size_bytes),
            words(entry.license),
        )
        for entry in entries
    )
    overview = table(("dataset", "technique", "download", "license"), rows)
    return f"{overview}\nAll {len(entries)} real datasets together: {size_text(total)}.\n"


def _section(entry: Dataset) -> str:
    cite = words(entry.citation) + (f", [doi:{entry.doi}](https://doi.org/{entry.doi})" if entry.doi else "")
    facts = (
        ("Name", f"`{entry.name}`"),
        ("Source", f"<{entry.source}>"),
        ("License", words(entry.license)),
        ("Cite", cite),
        ("Download", size_text(entry.size_bytes)),
        ("Technique", words(", ".join(entry.technique))),
        ("Chapters", words("; ".join(entry.chapters))),
        ("Read it", words(entry.read)),
    )
    files = table(
        ("role", "file", "size", "SHA-256 begins"),
        (
            (f"`{f.role}`", _link(f.file, f.urls[0]), size_text(f.size_bytes), f"`{f.checksum[7:19]}`")
            for f in entry.files
        ),
    )
    listed = "\n".join(f"- **{name}:** {text}" for name, text in facts)
    head = f"({_label(entry.name)})=\n### {words(entry.title)}\n\n{words(entry.description)}"
    return f"{head}\n\n{listed}\n\n{files}"


def _link(name: str, url: str | ArchiveMember) -> str:
    return f"[{words(name)}]({url.archive if isinstance(url, ArchiveMember) else url})"


def _twins(entries: list[Dataset]) -> str:
    first = entries[0]
    rows = []
    for entry in entries:
        generated = entry.generated or {}
        options = ", ".join(f"{key} {value}" for key, value in generated.items() if key not in ("particle", "seed"))
        rows.append((f"`{entry.name}`", str(generated["particle"]), options or "none", str(generated["seed"])))
    listed = (
        f"- **License:** {words(first.license)}\n- **Cite:** {words(first.citation)}\n"
        f"- **Chapters:** {'; '.join(first.chapters)}\n"
        f"- **Read it:** {words(first.read)}\n"
    )
    twins = table(("name", "particle", "special", "seed"), rows)
    return f"(data-twin)=\n### The digital twin\n\n{words(first.description)}\n\n{listed}\n{twins}"
