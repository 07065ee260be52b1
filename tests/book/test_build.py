"""Running chapters: what is kept, what is measured, what is caught. Every planted failure is seen to fail."""

import base64
import html
import re
import subprocess
from pathlib import Path

import nbformat
import pytest

from tests.book.helper import code, ran, recorded, text, write
from tools.book import ROOT, checks, cli, download, fold, stage, vendor
from tritomo_helpers import datasets
from tritomo_helpers.teaching.data import provenance_box

# ---------------------------------------------------------------- checks of what was run


def test_limits_of_time_and_memory():
    assert checks.cost_problems(ran(seconds=119, busy_seconds=200, peak_mb=999)) == []
    assert checks.cost_problems(ran(seconds=200, busy_seconds=119)) == [], "it waited for the network"
    assert "computes for 121 s" in checks.cost_problems(ran(seconds=121, busy_seconds=130))[0]
    assert "needs 1001 MB" in checks.cost_problems(ran(peak_mb=1001))[0]


def test_claims_are_unique_and_quoted():
    claim = {"name": "a", "value": 1, "shown": "1", "low": 0, "high": 2, "why": "w"}
    assert checks.claim_problems(ran(recorded("claim", **claim), text("{glue:text}`a`")).notebook, "c") == []
    twice = ran(recorded("claim", **claim), recorded("claim", **claim), text("{glue:text}`a`"))
    assert "claimed 2 times" in checks.claim_problems(twice.notebook, "c")[0]
    assert "never quoted" in checks.claim_problems(ran(recorded("claim", **claim)).notebook, "c")[0]


def test_alt_texts_say_the_numbers_that_were_claimed():
    claim = recorded("claim", name="peak", value=3.6, shown="3.60 V", low=0, high=9, why="w")
    alt = {"mystnb": {"image": {"alt": "A peak at {glue:text}`peak`, from {given}`4.2 V`."}}}
    run = ran(code("plot(a)", metadata=alt), claim)
    assert checks.alt_problems(run.notebook, "c") == []
    staged = stage.staged_notebook(run, provenance_box=provenance_box).cells[0]
    assert staged.metadata.mystnb.image.alt == "A peak at 3.60 V, from 4.2 V."
    assert "quotes peak, which is not claimed" in checks.alt_problems(ran(code("x", metadata=alt)).notebook, "c")[0]


@pytest.mark.parametrize(
    ("stub", "solution", "words"),
    [
        ("not yet", "right", None),
        ("right", "right", "the stub of x is judged"),
        ("not yet", "wrong", "the solution of x is judged"),
        ("not yet", None, "the solution of x is judged nowhere"),
    ],
)
def test_exercise_stub_waits_and_solution_is_right(stub, solution, words):
    hidden = [recorded("check", page="<p>", id="x", kind=solution)] if solution else []
    run = ran(
        recorded("check", page="<p>", id="x", kind=stub),
        text(":::{solution-start} x\n:::"),
        *hidden,
        text(":::{solution-end}\n:::"),
    )
    problems = checks.exercise_problems(run.notebook, "c")
    assert (problems == []) if words is None else (words in problems[0])


def test_warnings_and_figures_without_alt_text_are_caught():
    warned = code("x", outputs=[nbformat.v4.new_output("stream", name="stderr", text="DeprecationWarning: x")])
    drawn = code("x", outputs=[nbformat.v4.new_output("display_data", data={"image/png": "iVBOR"})])
    problems = checks.output_problems(ran(warned, drawn).notebook, "c")
    assert "DeprecationWarning" in problems[0]
    assert "without alt text" in problems[1]


# ---------------------------------------------------------------- staging


def test_staged_notebook_has_cost_provenance_and_no_records():
    picture = nbformat.v4.new_output("display_data", data={"image/png": "iVBOR"})
    run = ran(
        text("# Title\n\nProse."),
        recorded("data", 'a = teaching.data("NMC_EELS_linescan_Jia")', name="NMC_EELS_linescan_Jia", bytes=2_000_000),
        code("plot(a)", outputs=[picture]),
        code('teaching.claim("a", 1, low=0, high=2, why="w")'),
        seconds=12.3,
        peak_mb=456,
        download_mb=2,
    )
    cells = stage.staged_notebook(run, provenance_box=provenance_box).cells
    assert "About 1 minutes to read" in cells[0].source
    assert "12 s to run, 456 MB of memory, 2.0 MB to download" in cells[0].source
    assert cells[0].source.endswith("Prose.")
    assert cells[1].outputs == []
    assert "hide-input" in cells[1].metadata.tags
    assert "NMC_EELS_linescan_Jia" in cells[3].source
    assert "plot(a)" in cells[3].source
    assert "remove-cell" in cells[4].metadata.tags
    assert run.notebook.cells[2].outputs == [picture], "the kept notebook is not touched"


def claimed(name):
    record = {"name": name, "value": 1, "shown": "1 nm", "low": 0, "high": 2, "why": "w"}
    cell = recorded("claim", f'teaching.claim("{name}", 2 * x, low=0, high=2, why="w")', **record)
    cell.outputs[0].data = {"application/papermill.record/text/plain": "'1 nm'"}
    return cell


def staged(*cells):
    return stage.staged_notebook(ran(*cells), provenance_box=lambda *_, **__: "<p>box</p>").cells


def test_preparation_is_folded_and_claims_are_one_box():
    page = staged(
        text("# T"),
        code("a = 1"),
        claimed("x"),
        code("b = 2"),
        claimed("y"),
        figure("plot(a)"),
        text("Word."),
        code("c"),
    )
    assert [cell.cell_type for cell in page] == [
        "markdown",
        "code",
        "code",
        "markdown",
        "code",
        "markdown",
        "markdown",
        "code",
    ]
    _, prepared, drawn, _, hidden, checked, word, _ = page
    assert prepared.source == "a = 1\n\nb = 2"
    assert prepared.metadata.mystnb.code_prompt_show == fold.PREPARED
    assert drawn.source == "plot(a)"
    assert "tags" not in drawn.metadata
    assert hidden.metadata.tags == ["remove-cell"]
    assert [o.metadata.tritomo.claim.name for o in hidden.outputs] == ["x", "y"], "the text finds them there"
    assert "2 numbers checked" in checked.source
    assert "<code>2 * x</code></td><td>1 nm</td><td>0 to 2</td><td>w</td>" in checked.source
    assert word.source == "Word."


def test_tags_keep_code_in_view_or_fold_it():
    kept, hidden = code("a = f()", metadata={"tags": ["keep-visible"]}), code("draw()", metadata={"tags": ["fold"]})
    page = staged(text("# T"), kept, text("Word."), hidden)
    assert "hide-input" not in page[1].metadata.tags
    assert "hide-input" in page[3].metadata.tags
    _, kept_call, folded = staged(text("# T"), kept, code("b = g()"), hidden)
    assert kept_call.source == "a = f()"
    assert folded.source == "b = g()\n\ndraw()", "what prepares a folded figure folds away with it"


def test_figure_is_shown_again_without_its_code():
    drawn = figure("plot(a)")
    drawn.metadata["mystnb"] = {"figure": {"caption": "c", "name": "fig-a"}, "image": {"alt": "A line."}}
    page = staged(text("# T"), drawn, text("## What you now know\n\n1. A.\n\n:::{again} fig-a\n:::\n\nNext: b."))
    *_, before, again, after = page
    assert before.source.endswith("1. A.")
    assert again.outputs[0].data == {"image/png": "iVBOR"}
    assert again.metadata.tags == ["remove-input"]
    assert again.source, "myst-nb leaves out an empty cell with its output"
    assert "name" not in again.metadata.mystnb.figure, "a label can be given once"
    assert after.source == "Next: b."


def test_backticks_in_a_command_do_not_end_its_box():
    cell = fold.box("<pre>```\nx</pre>")
    assert cell.source.startswith("````{raw} html\n")
    assert cell.source.endswith("\n````")


def test_question_is_shown_without_its_call_and_a_stated_box_replaces_the_found_one():
    asks = recorded("quiz", 'teaching.quiz("q")', page="<fieldset>", id="q")
    stated = recorded("provenance", 'teaching.provenance("a")', page="<p>said</p>", datasets=["a"])
    page = staged(text("# T"), figure("plot(a)"), stated, asks)
    assert [cell.source for cell in page[2:]] == ["```{raw} html\n<p>said</p>\n```", "```{raw} html\n<fieldset>\n```"]


PNG = base64.b64encode(
    b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + (800).to_bytes(4, "big") + (600).to_bytes(4, "big")
).decode()


@pytest.mark.parametrize(("width", "sharp"), [(400, True), (800, False), (None, False)])
def test_picture_that_is_not_twice_its_size_is_caught(width, sharp, tmp_path):
    metadata = {"image/png": {"width": width}} if width else {}
    cell = code("x", outputs=[nbformat.v4.new_output("display_data", data={"image/png": PNG}, metadata=metadata)])
    assert (checks.picture_problems(ran(cell).notebook, "c") == []) is sharp
    (tmp_path / "_images").mkdir()
    (tmp_path / "_images" / "a.png").write_bytes(base64.b64decode(PNG))
    style = f'style="width: {width}px;"' if width else ""
    (tmp_path / "a.html").write_text(f'<article><img src="_images/a.png" alt="A line" {style}></article>')
    assert (checks.page_problems(tmp_path) == []) is sharp


def test_downloaded_notebook_says_what_it_needs(tmp_path):
    written = write(tmp_path / "chapter.ipynb", text("# T"), code('files = teaching.data("twin/tiny", parts=["adf"])'))
    run = ran(code("x"), seconds=12.3, peak_mb=456, download_mb=2)
    target = write(tmp_path / "pages" / "_sources" / "chapter.ipynb", text("# Staged"))
    download.offer(tmp_path / "pages", tmp_path, [run])
    needs, title, _ = nbformat.read(target, as_version=4).cells
    assert title.source == "# T", "as written, without what only a page can show"
    for said in ("tritomo_helpers", "make lab", "git clone", "`twin/tiny`", "2.0 MB", "12 s", "456 MB"):
        assert said in needs.source
    assert len(nbformat.read(written, as_version=4).cells) == 2, "the chapter itself is not touched"


def boxes_of(*cells):
    staged = stage.staged_notebook(ran(*cells), provenance_box=provenance_box)
    return [html.unescape(c.source) for c in staged.cells if c.source.startswith("```{raw} html")]


def figure(source):
    return code(source, outputs=[nbformat.v4.new_output("display_data", data={"image/png": "iVBOR"})])


def test_box_names_the_datasets_of_this_figure_alone():
    first, second = boxes_of(
        recorded("data", 'files = teaching.data("NMC_EELS_linescan_Jia")', name="NMC_EELS_linescan_Jia", bytes=1),
        code('scan = io.load_spectra(files["core_loss"])\nsums = []\nsums.append(scan.sum())'),
        figure("plot(sums)"),
        recorded("data", 'files = teaching.data("twin/pristine-1-null")', name="twin/pristine-1-null", bytes=1),
        code('adf = io.load_tilt_series(files["adf"])'),
        figure("plot(adf)"),
    )
    assert "NMC_EELS_linescan_Jia" in first
    assert "twin/" not in first
    assert "NMC_EELS" not in second
    seed = datasets.dataset("twin/pristine-1").generated["seed"]
    assert f"control = null, particle = pristine-1, preset = default, seed = {seed} (simulated)" in second
    assert re.search(r"<dt>Key</dt><dd><code>[0-9a-f]{16}</code>", second)


def test_box_shows_particle_settings_and_seed_of_what_a_chapter_simulates():
    real, simulated = boxes_of(
        code("seed = 2026\nother = 3\nimage = real()"),
        code('particle = phantoms.particle("cycled-100-2")\nsetting = simulation.Acquisition(signals=["adf"])'),
        code("taken = simulation.acquire(particle, setting, rng=np.random.default_rng(seed))\nseed = 0"),
        code("mean = taken.adf.images.mean()"),
        figure("plot(image)"),
        figure("plot(mean)"),
    )
    assert "Simulated by" not in real
    made = simulated.partition("Simulated by")[2].partition("Command")[0]
    for line in ("seed = 2026", "phantoms.particle('cycled-100-2')", "signals=['adf']", "default_rng(seed)"):
        assert line in made
    for line in ("other", "seed = 0", "mean", "image"):
        assert line not in made.replace("images", ""), line


def test_what_a_chapter_hands_over_is_found_in_its_calls():
    cells = [code('%matplotlib inline\nt = products.get("tomogram")["values"]'), code("x = teaching.data(name)")]
    found = nbformat.v4.new_notebook(cells=cells)
    assert list(stage.calls(found, "products.get")) == [("tomogram", {})]
    assert list(stage.calls(found, "teaching.data")) == []


def test_reference_has_one_page_per_module_with_every_public_function():
    assert ":: tritomo_helpers.teaching.claim\n" in stage.reference_page("teaching")
    assert ":: tritomo_helpers.datasets.fetch\n" in stage.reference_page("datasets")
    assert "class:: tritomo_helpers.containers.TiltSeries\n" in stage.reference_page("containers")
    assert "tritomo_helpers.spectroscopy.xray." in stage.reference_page("spectroscopy"), "modules inside a module"
    assert "| [teaching](reference/teaching) | What a chapter needs" in stage.modules_page()
    toc = stage.with_reference({"root": "intro", "parts": [{"chapters": [{"file": "api"}, {"file": "a"}]}]})
    assert {"file": "reference/eels"} in toc["parts"][0]["chapters"][0]["sections"]
    assert "sections" not in toc["parts"][0]["chapters"][1]


def test_pages_say_that_there_is_no_repository_and_show_no_button(tmp_path, monkeypatch):
    shown = stage.config(tmp_path, vendored=False)
    assert "repository" not in shown
    assert shown["html"]["use_repository_button"] is False
    assert "not public yet" in shown["sphinx"]["config"]["myst_substitutions"]["launch"]
    monkeypatch.setattr(stage, "ROOT", tmp_path)
    settings = (ROOT / "_config.yml").read_text().replace('url: ""', "url: https://example.org/tritomo")
    (tmp_path / "_config.yml").write_text(settings)
    public = stage.config(tmp_path, vendored=False)
    assert public["launch_buttons"]["binderhub_url"]
    assert "git clone https://example.org/tritomo" in public["sphinx"]["config"]["myst_substitutions"]["clone"]


FLAWED = [
    '<link rel="preload" as="font" href="a">',
    '<button class="btn search-button-field x" aria-label="Search">',
    '<summary aria-label="Toggle hidden content">',
    '<summary><span class="toctree-toggle" role="presentation">',
    '<script type="text/x-thebe-config">{}</script>',
    '<div role="list" class="citation-list">',
]


@pytest.mark.parametrize("flaw", FLAWED)
def test_flaw_of_the_theme_is_mended_or_reported(flaw):
    assert len(checks.flaws(flaw)) == 1
    assert checks.flaws(cli.mend(flaw + "\n")) == []
    changed = flaw.replace("<", "<", 1).replace(" ", "  data-new  ", 1)  # the theme writes it another way
    assert len(checks.flaws(cli.mend(changed))) == 1 or changed == flaw


def test_package_with_another_content_is_refused(tmp_path, monkeypatch):
    def pack(command, *, cwd, **_):
        (Path(cwd) / "a.tgz").write_bytes(b"something else")
        return subprocess.CompletedProcess(command, 0, stdout="a.tgz\n", stderr="")

    monkeypatch.delenv("TRITOMO_OFFLINE", raising=False)
    monkeypatch.setattr(vendor.shutil, "which", lambda _: "npm")
    monkeypatch.setattr(vendor.subprocess, "run", pack)
    assert "another content than expected" in vendor.fetch({"requirejs@2.3.6": ""}, tmp_path / "vendor")
    assert {*vendor.PAGES, *vendor.AXE} <= vendor.INTEGRITY.keys()


# ---------------------------------------------------------------- what is made before the chapters run


def test_time_of_a_simulated_dataset_is_remembered_until_it_changes(tmp_path, monkeypatch):
    notes = tmp_path / "built" / "simulated.json"
    assert cli.simulated_in("twin/tiny", 60.0, notes=notes) == 60
    assert cli.simulated_in("twin/tiny", 0.5, notes=notes) == 60, "had from the cache"
    assert cli.simulated_in("twin/pristine-1", 0.5, notes=notes) == 0.5
    monkeypatch.setattr("tritomo_helpers.datasets._twin._code", lambda: {"simulation": "changed"})
    assert cli.simulated_in("twin/tiny", 7.0, notes=notes) == 7


def test_dataset_that_cannot_be_simulated_is_a_problem(tmp_path):
    path = write(tmp_path / "a.ipynb", code('files = teaching.data("twin/tiny", parts=["color"])'))
    seconds, problems = cli.prepare([path], tmp_path)
    assert seconds == {}
    assert problems == ["a: the dataset twin/tiny cannot be simulated"]
