"""Copy ``book/`` with what the build adds: outputs, costs, provenance, generated pages, settings."""

import ast
import copy
import importlib
import inspect
import pkgutil
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import nbformat
import yaml

from tools.book import BOOK, ROOT, fold, lineage, particle_costs, valence_costs, vendor
from tools.book.data_page import data_page
from tools.book.execute import SMALL_MACHINE_BYTES, Run, records
from tools.book.files_page import files_page
from tools.book.prose import WORDS_PER_MINUTE, n_words

TIME_LIMIT_S = 120
MEMORY_LIMIT_MB = 1000
FIGURE_MIMES = {"image/png", "image/svg+xml", "image/jpeg"}
AGAIN = re.compile(r"^:{3,}\{again\} *([\w-]+)\n:{3,} *$", re.M)  # a figure of the chapter, shown once more
ROLE = re.compile(r"\{(given|quoted|glue:[a-z]*)\}`([^`]*)`")
GLUE = re.compile(r"\{glue:[a-z]*\}`([\w-]+)[^`]*`")


def toc_files(toc: dict[str, Any]) -> list[str]:
    """Return the documents of a table of contents, in order."""
    parts = toc.get("parts", [])
    return [toc["root"], *(chapter["file"] for toc_part in parts for chapter in toc_part["chapters"])]


def document(name: str, folder: Path = BOOK) -> Path | None:
    """Return the file of a document, or None."""
    return next((p for p in (folder / f"{name}.ipynb", folder / f"{name}.md") if p.exists()), None)


def existing_toc(toc: dict[str, Any], folder: Path = BOOK) -> tuple[dict[str, Any], list[str]]:
    """Return the table of contents without documents that are not there, and the names of these."""
    missing = [name for name in toc_files(toc) if document(name, folder) is None]
    parts = []
    for toc_part in toc.get("parts", []):
        chapters = [chapter for chapter in toc_part["chapters"] if chapter["file"] not in missing]
        if chapters:
            parts.append({**toc_part, "chapters": chapters})
    return {**toc, "parts": parts}, missing


def calls(notebook: Any, function: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield first argument and literal keywords of each call of ``module.name`` in a notebook.

    Examples
    --------
    >>> cell = nbformat.v4.new_code_cell('files = teaching.data("twin/a", parts=["adf"])')
    >>> list(calls(nbformat.v4.new_notebook(cells=[cell]), "teaching.data"))
    [('twin/a', {'parts': ['adf']})]
    """
    for cell in notebook.cells:
        if cell.cell_type != "code" or function.rpartition(".")[2] not in cell.source:
            continue
        source = "\n".join(line for line in cell.source.splitlines() if not line.lstrip().startswith(("%", "!")))
        for node in ast.walk(ast.parse(source)):
            if not (isinstance(node, ast.Call) and ast.unparse(node.func).endswith(function) and node.args):
                continue
            try:
                keywords = {k.arg: ast.literal_eval(k.value) for k in node.keywords if k.arg}
                yield ast.literal_eval(node.args[0]), keywords
            except ValueError:  # not a literal: the chapter finds out itself when it runs
                continue


def code_of(notebook: Any) -> str:
    """Return the code of a notebook, without what only IPython understands."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return "\n".join(ast.unparse(statement) for cell in cells for statement in lineage.statements(cell))


def size_text(megabytes: float) -> str:
    """Return an amount of data in words."""
    if megabytes == 0:
        return "nothing"
    if megabytes >= 1000:
        return f"{megabytes / 1000:.1f} GB"
    return f"{megabytes:.0f} MB" if megabytes >= 10 else f"{max(megabytes, 0.1):.1f} MB"


def time_text(seconds: float) -> str:
    """Return a time in words."""
    if seconds < 1:
        return "under 1 s"
    if seconds >= 100 * 60:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


LAUNCH = "The rocket at the top of a chapter opens its notebook in JupyterLab on a small cloud machine."
NO_LAUNCH = "The repository is not public yet, so these pages have no button that opens a chapter on a cloud machine."
SECONDS_PER_FIGURE, SECONDS_PER_LINE = 20, 3


def reading_minutes(notebook: Any) -> int:
    """Return how long a chapter takes to read, counted from its words, its figures and the code in view."""
    words = sum(n_words(c.source) for c in notebook.cells if c.cell_type == "markdown")
    figures = [c.metadata["mystnb"]["figure"] for c in notebook.cells if "figure" in c.metadata.get("mystnb", {})]
    words += sum(n_words(figure.get("caption", "")) for figure in figures)
    code = [
        c
        for _, c, section, hidden in fold.located(notebook.cells)
        if c.cell_type == "code" and not hidden
        if fold.is_visible(c, section)
    ]
    lines = sum(len(c.source.splitlines()) for c in code)
    return max(1, round(words / WORDS_PER_MINUTE + (SECONDS_PER_FIGURE * len(figures) + SECONDS_PER_LINE * lines) / 60))


def cost_line(run: Run) -> str:
    """Return how long a chapter takes to read and what it cost to run, as MyST."""
    reading = f"About {reading_minutes(run.notebook)} minutes to read, exercises not counted."
    if run.unavailable:
        text = f"{reading} Not measured: {', '.join(run.unavailable)} could not be had when this page was built."
    else:
        text = (
            f"{reading} Measured when this page was built: {time_text(run.seconds)} to run, "
            f"{size_text(run.peak_mb)} of memory, {size_text(run.download_mb)} to download ([how](performance))."
        )
    return f":::{{div}} tt-cost\n{text}\n:::"


def shows_figure(cell: Any) -> bool:
    """Return whether the output of a cell holds a picture or a viewer."""
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        if FIGURE_MIMES & data.keys() or "tritomo-viewer" in "".join(data.get("text/html", "")):
            return True
    return False


def spoken(alt: str, shown: Mapping[str, str]) -> str:
    """Return an alt text, which has no markup, with its roles replaced by the numbers that they stand for.

    Examples
    --------
    >>> spoken("A peak at {glue:text}`onset`, tilts to {given}`70°`.", {"onset": "529 eV"})
    'A peak at 529 eV, tilts to 70°.'
    """
    return ROLE.sub(lambda m: shown.get(m[2], "a value not computed here") if m[1].startswith("glue") else m[2], alt)


def staged_notebook(run: Run, *, provenance_box: Any) -> Any:
    """Return the notebook as it goes to Sphinx: costs under the title, boxes under figures, code folded."""
    notebook = copy.deepcopy(run.notebook)
    title = next((c for c in notebook.cells if c.cell_type == "markdown"), None)
    if title is not None:
        head, newline, body = title.source.partition("\n")
        title.source = f"{head}\n\n{cost_line(run)}\n{newline}{body}"
    claimed = {record["name"]: record["shown"] for record in records(notebook, "claim")}
    for cell in notebook.cells:
        image = cell.metadata.get("mystnb", {}).get("image", {})
        if "alt" in image:
            image["alt"] = spoken(image["alt"], claimed)
        if cell.cell_type == "markdown" and run.unavailable:
            cell.source = GLUE.sub(lambda m: m[0] if m[1] in claimed else "*(not computed here)*", cell.source)
    notebook.cells = with_boxes(with_repeats(notebook.cells), provenance_box=provenance_box)
    notebook.cells = fold.folded(notebook.cells)
    return notebook


def with_repeats(cells: Sequence[Any]) -> list[Any]:
    """Return the cells with ``{again}`` replaced by the picture of the figure that it names."""
    figures = {c.metadata.get("mystnb", {}).get("figure", {}).get("name"): c for c in cells}
    page: list[Any] = []
    for cell in cells:
        # The text before the first {again}, its figure, the text after it, ...
        pieces = AGAIN.split(cell.source) if cell.cell_type == "markdown" else [cell]
        if len(pieces) == 1:
            page.append(cell)
            continue
        for number, piece in enumerate(pieces):
            if number % 2:
                page += _repeated(figures.get(piece), piece)
            elif piece.strip():
                page.append(nbformat.v4.new_markdown_cell(piece.strip()))
    return page


def _repeated(figure: Any, name: str) -> list[Any]:
    """Return a cell that shows the picture of another one; nothing where it could not be made."""
    for output in figure.outputs if figure is not None else []:
        kinds = FIGURE_MIMES & output.get("data", {}).keys()
        if kinds:
            kind = max(kinds)  # SVG before PNG
            again = nbformat.v4.new_output(
                "display_data", {kind: output.data[kind]}, metadata=output.get("metadata", {})
            )
            # An empty cell would be left out of the page, with its output.
            cell = nbformat.v4.new_code_cell("# again", outputs=[again], metadata={"tags": ["remove-input"]})
            image = figure.metadata["mystnb"].get("image", {})
            cell.metadata["mystnb"] = {"image": image, "figure": {"caption": f"Once more, {{numref}}`{name}`."}}
            return [cell]
    return []


def with_boxes(cells: Sequence[Any], *, provenance_box: Any) -> list[Any]:
    """Return the cells with a closed box under every figure that says where it comes from."""
    fetched: dict[str, None] = {}  # an ordered set
    earlier: list[ast.stmt] = []
    page: list[Any] = []
    for cell in cells:
        page.append(cell)
        if cell.cell_type != "code" or "remove-input" in cell.metadata.get("tags", []):
            continue
        fetched.update(dict.fromkeys(r["name"] for r in records(nbformat.v4.new_notebook(cells=[cell]), "data")))
        here = lineage.statements(cell)
        # A figure directive wraps every output of its cell, so that the box goes into a cell of its own.
        stated = [o for o in cell.outputs if "provenance" in o.get("metadata", {}).get("tritomo", {})]
        cell.outputs = [
            o for o in cell.outputs if o not in stated and "application/vnd.tritomo" not in o.get("data", {})
        ]
        boxes = [fold.html_of(output) for output in stated]
        if boxes and len(page) > 1 and page[-2].metadata.get("tritomo_box"):
            page.pop(-2)  # what the author says about the figure above stands in place of what the build finds
        if not boxes and shows_figure(cell):
            # What this figure was made from, and not all that the chapter has touched by now.
            made = [*lineage.made_by(earlier, here), *here]
            source = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("\n".join(map(ast.unparse, made)))])
            boxes = [
                provenance_box(
                    [name for name, _ in calls(source, "teaching.data") if name in fetched],
                    products=lineage.products_used(code_of(source)),
                    simulated=lineage.simulated(made),
                    command=cell.source,
                )
            ]
        earlier += here
        page += map(fold.box, boxes)
    return page


def made_by_earlier_code(names: Iterable[str]) -> list[str]:
    """Return the tables of the study whose data, parameters or function have changed since they were computed."""
    from tritomo_helpers import products

    known = products.products()
    return [name for name in names if name in known and not products.provenance(name)["current"]]


def kept_results(seconds: Mapping[str, float]) -> list[str]:
    """Return the table of results that are computed once, folded, as MyST: a row for all that one function makes."""
    from tritomo_helpers import products

    known, of_purpose = products.products(), dict[str, list[str]]()
    for name in seconds:
        purpose = (inspect.getdoc(known[name].make) if name in known else None) or name
        of_purpose.setdefault(purpose.partition("\n")[0].rstrip("."), []).append(name)
    rows = []
    for purpose, names in of_purpose.items():
        starts = (names[0][: match.end()] for match in re.finditer("[/-]", names[0]))
        shared = [start for start in starts if all(name.startswith(start) for name in names)]
        label = names[0] if len(names) == 1 else f"{''.join(shared[-1:])}…"
        rows.append(f"| {purpose} | `{label}` | {len(names)} | {time_text(sum(seconds[name] for name in names))} |")
    count, total = len(seconds), time_text(sum(seconds.values()))
    title = f"Computed once, then kept, and not counted above: {count} result{'s' * (count != 1)}, {total}"
    return [f":::{{dropdown}} {title}", "| what | name | results | time |", "|---|---|--:|--:|", *rows, ":::"]


def performance_page(runs: Sequence[Run], prepared: dict[str, float]) -> str:
    """Return the table of measured costs as MyST."""
    lines = [
        "| chapter | time | memory | download |",
        "|---|--:|--:|--:|",
        *(
            f"| [](/{r.name}) | {time_text(r.seconds)} | {size_text(r.peak_mb)} | {size_text(r.download_mb)} |"
            if not r.unavailable
            else f"| [](/{r.name}) | not measured: {', '.join(r.unavailable)} could not be had | | |"
            for r in runs
        ),
        "",
        "Time is from the start of a fresh kernel to the last cell; memory is the most that the kernel and its child "
        "processes held at once. Each chapter is held to what a small cloud machine has, one core and "
        f"{size_text(SMALL_MACHINE_BYTES / 1024**2)} of memory. The build fails when a chapter computes for more than "
        f"{TIME_LIMIT_S // 60} minutes or needs more than {size_text(MEMORY_LIMIT_MB)}.",
    ]
    if prepared:
        lines += ["", *kept_results(prepared)]
    if earlier := made_by_earlier_code(prepared):
        names = ", ".join(f"`{name}`" for name in earlier)
        lines += ["", f"Made by earlier code than that of this book, until `make study` renews them: {names}."]
    lines += particle_costs.section(particle_costs.read())
    lines += valence_costs.section(valence_costs.read())
    return "\n".join(lines) + "\n"


def public_modules() -> list[str]:
    """Return the public modules of the package, folders by their own name."""
    import tritomo_helpers

    return sorted(m.name for m in pkgutil.iter_modules(tritomo_helpers.__path__) if not m.name.startswith("_"))


def reference_page(name: str) -> str:
    """Return the reference of one module, every public function and class from its docstring, as MyST."""
    lines = [f"# {name}", "", "```{eval-rst}", *_members(f"tritomo_helpers.{name}"), "```", ""]
    return "\n".join(lines)


def _members(name: str) -> list[str]:
    """Return the directives that document a module; modules that it names among its members come after its own."""
    module = importlib.import_module(name)
    public = getattr(module, "__all__", None) or [
        key
        for key, value in vars(module).items()
        if not key.startswith("_") and getattr(value, "__module__", "").startswith(name)
    ]
    lines, inner = [f".. automodule:: {name}", "   :no-members:", ""], []
    for key in public:
        value = getattr(module, key)
        if inspect.ismodule(value):
            inner += [f".. rubric:: {key}", "", *_members(value.__name__)]
        elif inspect.isclass(value):
            lines += [f".. autoclass:: {name}.{key}", "   :members:", ""]
        elif callable(value):
            lines += [f".. autofunction:: {name}.{key}", ""]
    return lines + inner


def modules_page() -> str:
    """Return the table of the modules, each with its page, as MyST."""
    rows = ["| module | what it is for |", "|---|---|"]
    for name in public_modules():
        purpose = inspect.getdoc(importlib.import_module(f"tritomo_helpers.{name}")) or ""
        rows.append(f"| [{name}](reference/{name}) | {purpose.partition(chr(10))[0].replace('|', '')} |")
    return "\n".join(rows) + "\n"


def with_reference(toc: dict[str, Any]) -> dict[str, Any]:
    """Return the table of contents with one page per module below the page of the package."""
    pages = [{"file": f"reference/{name}"} for name in public_modules()]

    def below(chapter: dict[str, Any]) -> dict[str, Any]:
        return {**chapter, "sections": pages} if chapter["file"] == "api" else chapter

    parts = [
        {**toc_part, "chapters": [below(chapter) for chapter in toc_part["chapters"]]}
        for toc_part in toc.get("parts", [])
    ]
    return {**toc, "parts": parts}


def clone_command(address: str) -> str:
    """Return the command that gets the repository, as Markdown."""
    return f"`git clone {address or '<address of the repository>'} tritomo`"


def config(srcdir: Path, *, vendored: bool) -> dict[str, Any]:
    """Return the Jupyter Book settings of the staged copy."""
    settings: dict[str, Any] = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    settings["execute"] = {"execute_notebooks": "off"}
    options = settings["sphinx"]["config"]
    address = settings["repository"]["url"] or ""
    if not address:  # no button that leads nowhere
        settings["html"].update(use_repository_button=False, use_issues_button=False)
        del settings["repository"], settings["launch_buttons"]
    options["myst_substitutions"] = {
        "clone": clone_command(address),
        "launch": LAUNCH if address else NO_LAUNCH,
    }
    options["html_extra_path"] = [str(srcdir / "_extra")]
    if vendored:
        options.update(vendor.sphinx_config())
    return settings


def stage(
    book: Path, runs: Iterable[Run], toc: dict[str, Any], *, prepared: dict[str, float], vendored: bool, into: Path
) -> Path:
    """Write the folder that Sphinx reads and return it."""
    from tritomo_helpers.teaching.data import provenance_box

    runs = list(runs)
    shutil.rmtree(into, ignore_errors=True)
    shutil.copytree(book, into, ignore=shutil.ignore_patterns(".ipynb_checkpoints", "_generated", "_build", "*.ipynb"))
    for run in runs:
        nbformat.write(staged_notebook(run, provenance_box=provenance_box), into / f"{run.name}.ipynb")
    generated = into / "_generated"
    generated.mkdir()
    wanted = set(toc_files(toc))
    for name, page in {
        "performance": lambda: performance_page(runs, prepared),
        "data-and-licences": data_page,
        "your-own-data": files_page,
        "api": modules_page,
    }.items():
        if name in wanted:
            (generated / f"{name}.md").write_text(page(), encoding="utf-8")
    if "api" in wanted:
        toc = with_reference(toc)
        (into / "reference").mkdir()
        for name in public_modules():
            (into / "reference" / f"{name}.md").write_text(reference_page(name), encoding="utf-8")
    (into / "_toc.yml").write_text(yaml.safe_dump(toc, sort_keys=False), encoding="utf-8")
    (into / "_extra").mkdir(exist_ok=True)
    if vendored:
        for package in vendor.PAGES:
            name = vendor.folder_of(package)
            shutil.copytree(vendor.VENDOR / name, into / "_extra" / "vendor" / name)
    if not (into / "references.bib").exists():
        (into / "references.bib").write_text("", encoding="utf-8")
    settings = config(into, vendored=vendored)
    (into / "_config.yml").write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    return into
