"""``python tools/build_book.py``: run the chapters, build the pages, say what is wrong and where the result is."""

import argparse
import contextlib
import itertools
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import nbformat
import psutil
import yaml

from tools.book import BOOK, BUILD, ROOT, checks, child, download, lineage, offline, sphinx_extension, stage, vendor
from tools.book.execute import Run, execute
from tritomo_helpers.store.files import atomic_file, locked, put_in_place

# What the theme and docutils write and a browser or a screen reader objects to; nothing else of a page is touched.
MENDED = [
    # A hint to load fonts early, which a browser refuses, with an error, for a page opened from a file.
    (re.compile(r'<link rel="preload" as="font"[^>]*>\n?'), ""),
    # Labels that hide the visible words from who navigates by voice.
    (re.compile(r'(<button class="btn search-button-field[^>]*?) aria-label="Search"'), r"\1"),
    (re.compile(r'<summary aria-label="Toggle hidden content">'), "<summary>"),
    # A button of the menu that has no name.
    (
        re.compile(r'<summary>(?=<span class="toctree-toggle")'),
        '<summary><span class="visually-hidden">Pages below</span>',
    ),
    # Live code is not offered, and its settings, written twice, are an error.
    (re.compile(r"<script>const THEBE_JS_URL.*?</script>\n?|<script [^>]*sphinx-thebe[^>]*></script>\n?"), ""),
    (re.compile(r'<script type="text/x-thebe-config">.*?</script>\n?', re.S), ""),
    # A list whose children are no list items.
    (re.compile(r'<div role="list" class="citation-list">'), '<div class="citation-list">'),
]

ALWAYS = ("glossary", "bibliography", "performance")  # pages that every chapter refers to
WORTH_TELLING_S = 5  # a dataset that is made sooner is not listed on the performance page


def mend(page: str) -> str:
    """Return a built page with the known flaws of its makers taken out."""
    for pattern, better in MENDED:
        page = pattern.sub(better, page)
    return page


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the book and return the exit code."""
    parser = argparse.ArgumentParser(prog="tools/build_book.py", description=main.__doc__)
    parser.add_argument("--strict", action="store_true", help="fail where a dataset or a listed page is missing")
    parser.add_argument("--force", action="store_true", help="run every chapter again")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="run N chapters at a time")
    parser.add_argument("--only", metavar="CHAPTER", nargs="+", help="run and build these chapters alone, for authors")
    parser.add_argument("--offline", action="store_true", help="zip the edition that needs no network")
    parser.add_argument("--source", type=Path, default=BOOK, help="folder of the chapters (default: book)")
    parser.add_argument("--into", type=Path, default=BUILD, help="folder of the result (default: _build)")
    options = parser.parse_args(arguments)
    child.end_when_told_to()
    options.into.mkdir(parents=True, exist_ok=True)
    # Two builds at once would write into each other.
    with contextlib.nullcontext() if options.only else locked(options.into / ".lock"):
        problems = build(
            options.source.resolve(),
            options.into.resolve(),
            strict=options.strict,
            force=options.force,
            only=options.only or [],
            packed=options.offline,
            jobs=options.jobs,
        )
    for problem in problems:
        print(f"PROBLEM {problem}", file=sys.stderr)
    if problems:
        print(f"The book has {len(problems)} problem(s).", file=sys.stderr)
    return 1 if problems else 0


def build(
    book: Path,
    into: Path,
    *,
    strict: bool,
    force: bool,
    only: Sequence[str] = (),
    packed: bool = False,
    jobs: int = 1,
) -> list[str]:
    """Run the chapters of `book` and build ``into/html``; return what is wrong, worded for the author."""
    toc, missing = stage.existing_toc(yaml.safe_load((book / "_toc.yml").read_text(encoding="utf-8")), book)
    problems = [f"_toc.yml lists {name}, which is not there" for name in missing] if strict else []
    if missing and not strict:
        print(f"Not written yet and left out: {', '.join(missing)}")
    pages, whole = into / "html", toc
    if only:
        names = [Path(name).stem for name in only]
        toc, _ = stage.existing_toc(
            {**toc, "root": names[0], "parts": [{"chapters": [{"file": n} for n in [*names[1:], *ALWAYS]]}]},
            book,
        )
        pages = into / f"only-{names[0]}"
    files = [path for name in stage.toc_files(toc) if (path := stage.document(name, book))]
    notebooks = [path for path in files if path.suffix == ".ipynb"]

    prepared, unprepared = prepare(notebooks, into)
    tell_of_earlier_code(prepared)
    problems += unprepared
    runs = run_all(notebooks, into / "executed", jobs=jobs, force=force)
    problems += checks.written_problems(files if not only else notebooks, whole) + checks.run_problems(
        runs, strict=strict
    )
    if any(run.error for run in runs):
        return problems

    why_not = vendor.fetch(vendor.PAGES)
    if why_not:
        print(f"Math and widgets will come from a server, because {why_not}.")
        if packed:
            problems.append(f"an offline edition needs npm: {why_not}")
    source = stage.stage(
        book, runs, toc, prepared=prepared, vendored=not why_not, into=pages.with_name(f"{pages.name}-src")
    )
    complete = not any(run.unavailable for run in runs) and not only and not missing
    problems += sphinx(source, pages, warnings_are_errors=complete)
    download.offer(pages, book, runs)
    linked = stage.toc_files(toc) if complete and "glossary" in stage.toc_files(toc) else [run.name for run in runs]
    unlinked = {*linked} - {*sphinx_extension.NO_PAGE}
    problems += checks.page_problems(pages, unlinked) if complete else checks.term_problems(pages, unlinked)
    for run in runs:
        if run.unavailable:
            print(f"{run.name} shows a box instead of results: {', '.join(run.unavailable)} could not be had.")
    if (pages / "index.html").exists():
        if packed and not problems:
            print(f"The offline edition is {offline.pack(pages, into)}: unzip it and open index.html.")
        print(f"The book is in {pages}/index.html (`make serve` shows it).")
    return problems


def _take_one_core(taken: Iterator[int]) -> None:
    """Let this thread and its kernels have one core, as on a small machine; each thread takes another."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[next(taken) % len(cores)]})  # Linux counts it for the calling thread alone


def run_all(notebooks: Sequence[Path], cache: Path, *, jobs: int, force: bool) -> list[Run]:
    """Run chapters, several at a time, each in its own kernel; tell of each when it is done."""
    with ThreadPoolExecutor(jobs, initializer=_take_one_core, initargs=(itertools.count(),)) as pool:
        running = [pool.submit(execute, path, cache=cache, force=force) for path in notebooks]
        try:
            for number, future in enumerate(as_completed(running), 1):
                run = future.result()
                how = "unchanged, kept" if run.cached else "run"
                cost = f"{run.seconds:.0f} s, {run.peak_mb:.0f} MB, {run.download_mb:.1f} MB to download"
                print(f"[{number}/{len(notebooks)}] {run.name}: {how}, {cost}", flush=True)
        except BaseException:
            # Threads cannot be interrupted; they end when their kernels do.
            pool.shutdown(wait=False, cancel_futures=True)
            for kernel in psutil.Process().children(recursive=True):
                kernel.terminate()
            raise
    return [future.result() for future in running]


def simulated_in(name: str, seconds: float, *, notes: Path) -> float:
    """Return how long a simulated dataset took when it was made, which is known only then: the longest time noted.

    Parameters
    ----------
    name : str
        A simulated dataset of the manifest.
    seconds : float
        What having it took now: as good as nothing when it had been made before.
    notes : Path
        JSON file that keeps the times by the key of the dataset, which changes with its code and parameters.
    """
    from tritomo_helpers import datasets
    from tritomo_helpers.datasets._twin import key

    noted: dict[str, float] = json.loads(notes.read_text(encoding="utf-8")) if notes.exists() else {}
    place = f"{name} {key(datasets.dataset(name))}"
    noted[place] = max(seconds, noted.get(place, 0.0))
    with atomic_file(notes) as path:
        path.write_text(json.dumps(noted, indent=1), encoding="utf-8")
    return noted[place]


def tell_of_earlier_code(prepared: Iterable[str]) -> None:
    """Print which results were made by code that has changed since; the page on performance lists them too."""
    for name in stage.made_by_earlier_code(prepared):
        print(f"{name} was made by earlier code than today's: make study renews it", flush=True)


def not_here_yet(product: str) -> bool:
    """Return whether a product is a table of the study that the package does not hold: no page computes one."""
    from tritomo_helpers.products import registry

    known = registry.products()[product]
    return known.in_study and not registry.committed_path(known).exists()


def prepare(notebooks: Sequence[Path], into: Path = BUILD) -> tuple[dict[str, float], list[str]]:
    """Compute what chapters hand to each other, and simulated datasets, before the chapters that use them are measured.

    Returns
    -------
    dict of str to float
        Seconds that each result took when it was computed, also if that was for an earlier build.
    list of str
        What went wrong.
    """
    from tritomo_helpers import datasets, products

    seconds: dict[str, float] = {}
    problems: list[str] = []
    for path in notebooks:
        notebook = nbformat.read(path, as_version=4)
        for name in lineage.products_used(stage.code_of(notebook)):
            if name in seconds or not_here_yet(name):
                continue
            print(f"{name} (used by {path.stem}) ...", flush=True)
            if child.run([sys.executable, "-m", "tritomo_helpers.products", name], cwd=ROOT):
                problems.append(f"{path.stem}: the product {name} cannot be computed")
            else:
                seconds[name] = float(products.provenance(name)["seconds"])
        for function in ("teaching.data", "datasets.fetch"):
            for name, keywords in stage.calls(notebook, function):
                if name in datasets.manifest() and datasets.dataset(name).generated is not None:
                    code = f"from tritomo_helpers import datasets; datasets.fetch({name!r}, **{keywords!r})"
                    start = time.perf_counter()
                    if child.run([sys.executable, "-c", code], cwd=ROOT):
                        problems.append(f"{path.stem}: the dataset {name} cannot be simulated")
                        continue
                    took = simulated_in(name, time.perf_counter() - start, notes=into / "simulated.json")
                    if took > WORTH_TELLING_S:
                        seconds[name] = took
    return seconds, problems


def sphinx(source: Path, pages: Path, *, warnings_are_errors: bool) -> list[str]:
    """Build HTML from the staged folder into `pages`; the old pages go only when there are new ones."""
    out = source.with_name(f"{source.name}-out")
    shutil.rmtree(out, ignore_errors=True)
    command = [Path(sys.executable).parent / "jupyter-book", "build", source, "--config", source / "_config.yml"]
    command += ["--path-output", out, "--all", "--keep-going", "-q"]
    # Where a dataset is missing, so are figures and numbers that other pages refer to.
    command += ["-n", "-W"] if warnings_are_errors else []
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    exit_code = child.run(command, cwd=ROOT, env=environment)
    fresh = out / "_build" / "html"
    if not (fresh / "index.html").exists():
        return [f"Sphinx failed ({exit_code}); its messages are above"]
    problems: list[str] = []
    for page in sorted(fresh.rglob("*.html")):
        mended = mend(page.read_text(encoding="utf-8"))
        page.write_text(mended, encoding="utf-8")
        problems += [f"{page.name}: {flaw}; the patterns of `MENDED` no longer match" for flaw in checks.flaws(mended)]
    put_in_place(fresh, pages)
    shutil.rmtree(out)
    if exit_code:
        problems.insert(0, f"Sphinx ended with {exit_code}; its messages are above")
    return problems
