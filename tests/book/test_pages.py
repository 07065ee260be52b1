"""The built pages without a browser: current, sound, with every claim in its range. `make book` comes first."""

import os
import re
import subprocess
import sys

import nbformat
import pytest
import yaml

from tools.book import BOOK, EXECUTED, HTML, ROOT, checks, execute, stage

pytestmark = pytest.mark.acceptance

TOC = yaml.safe_load((BOOK / "_toc.yml").read_text(encoding="utf-8"))
NOTEBOOKS = [p for name in stage.toc_files(TOC) if (p := stage.document(name)) and p.suffix == ".ipynb"]


def by_stem(path):
    return path.stem


@pytest.fixture(scope="module")
def pages():
    if not (HTML / "index.html").exists():
        pytest.skip("needs the built pages: run make book")
    return HTML


@pytest.fixture(scope="module", params=NOTEBOOKS, ids=by_stem)
def run(request, pages):
    """The kept result of a notebook, which must be the one of today's package, lock and manifest."""
    path = request.param
    kept = EXECUTED / path.name
    assert kept.exists(), f"{path.name} has no complete result of unchanged sources: run make book"
    notebook = nbformat.read(kept, as_version=4)
    meta = notebook.metadata["tritomo_run"]
    assert meta["key"] == execute.key_of(path), f"{path.name} changed since it was run: run make book"
    return execute.Run(path.stem, notebook, **meta["cost"], **meta["limits"])


def test_claims_exercises_figures_and_costs_hold(run):
    assert checks.run_problems([run], strict=True) == []


def test_every_cell_was_run(run):
    counts = [cell.execution_count for cell in run.notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    assert counts == sorted(counts)
    assert None not in counts


def test_page_shows_the_numbers_that_were_computed(run, pages):
    page = (pages / f"{run.name}.html").read_text(encoding="utf-8")
    for claim in execute.records(run.notebook, "claim"):
        assert claim["shown"] in page, f"{claim['name']} of the last run is not on the page: run make book"


def test_page_shows_its_cost_a_launch_button_and_where_figures_come_from(run, pages):
    page = (pages / f"{run.name}.html").read_text(encoding="utf-8")
    assert "Measured when this page was built" in page
    public = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["repository"]["url"]
    launches = f"urlpath=lab/tree/book/{run.name}.ipynb" in page
    assert launches is bool(public), "Binder opens this notebook in JupyterLab, once there is a repository to open"
    figures = sum(stage.shows_figure(cell) for cell in run.notebook.cells if cell.cell_type == "code")
    assert page.count('<details class="tt-provenance"') >= figures


def test_links_lead_somewhere_and_pictures_are_sharp_and_described_and_terms_linked(pages):
    linked = {path.stem for path in NOTEBOOKS} | {"index", "intro", "how-to-use"}
    assert checks.page_problems(pages, linked) == []


def test_performance_page_lists_every_chapter(pages):
    page = (pages / "performance.html").read_text(encoding="utf-8")
    assert [path.stem for path in NOTEBOOKS if f'href="{path.stem}.html"' not in page] == []


def test_nothing_vendored_built_or_generated_is_committed():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    unwanted = re.compile(r"mathjax|require\.js|html-manager|axe\.min|^_build/|_generated/|_extra/", re.I)
    assert [name for name in listed.stdout.splitlines() if unwanted.search(name)] == []


def needs_linux():
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("needs Linux to limit memory and cores")


def test_notebook_runs_in_two_gigabytes_on_one_core(run):
    """The build holds each kernel to it, so that no chapter has to run a second time here."""
    needs_linux()
    assert run.limits == {"memory_limit": 2 * 1024**3, "n_cores": 1}


def test_notebook_that_needs_more_memory_is_caught(tmp_path):
    needs_linux()
    greedy = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("block = bytearray(3 * 1024**3)")])
    nbformat.write(greedy, tmp_path / "greedy.ipynb")
    command = [sys.executable, "tools/run_notebooks.py", "--memory", "2G", "--cores", "1", tmp_path / "greedy.ipynb"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert said.returncode == 1
    assert "MemoryError" in said.stderr
