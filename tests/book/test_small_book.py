"""A whole small book: built, without its data, and with a fault."""

import shutil

import pytest
import yaml

from tests.book.helper import CLAIM, GOOD, MISSING, code, text, write
from tools.book import ROOT, checks, cli, offline


@pytest.fixture
def small_book(tmp_path):
    book = tmp_path / "book"
    shutil.copytree(ROOT / "book" / "_static", book / "_static")
    (book / "intro.md").write_text("# Welcome\n\nGo to [](chapter).\n")
    (book / "performance.md").write_text("# Performance\n\n```{include} _generated/performance.md\n```\n")
    toc = {
        "format": "jb-book",
        "root": "intro",
        "parts": [{"chapters": [{"file": "chapter"}, {"file": "performance"}]}],
    }
    (book / "_toc.yml").write_text(yaml.safe_dump(toc))
    *preparation, claim = CLAIM.format(**GOOD).splitlines()
    cells = (code("\n".join(preparation)), code(claim), text("It is {glue:text}`fano`."))
    write(book / "chapter.ipynb", text("# Chapter"), *cells)
    return book


@pytest.mark.acceptance
def test_small_book_is_built_and_its_pages_are_sound(small_book, tmp_path, capfd):
    assert cli.main(["--source", str(small_book), "--into", str(tmp_path / "out"), "--strict"]) == 0
    pages = tmp_path / "out" / "html"
    chapter = (pages / "chapter.html").read_text()
    assert "Measured when this page was built" in chapter
    assert 'href="_sources/chapter.ipynb"' in chapter
    assert "To run this notebook" in (pages / "_sources" / "chapter.ipynb").read_text()
    assert "The book is in" in capfd.readouterr().out
    assert checks.page_problems(pages, ["chapter"]) == []
    archive = offline.pack(pages, tmp_path)
    shutil.unpack_archive(archive, tmp_path / "unzipped")
    assert (tmp_path / "unzipped" / "tritomo-book" / "index.html").exists()
    # The pages are built, so that planted faults can be seen to be caught in them.
    (pages / "chapter.html").write_text(
        chapter.replace(
            "</article>", '<a href="gone.html">x</a><a href="intro.html#gone">x</a><img src="a.png"></article>'
        )
    )
    words = " ".join(checks.page_problems(pages))
    for fault in ("gone.html leads nowhere", "intro.html#gone has no such place", "a.png has no alt text"):
        assert fault in words


PLANTED = ["See [](nowhere).", "See {py:func}`tritomo_helpers.gone`.", "It is {glue:text}`lost`."]


@pytest.mark.acceptance
def test_small_book_without_data_shows_a_box_and_fails_only_strictly(small_book, tmp_path, monkeypatch, capfd):
    monkeypatch.delenv("TRITOMO_DATA_MIRROR", raising=False)
    monkeypatch.setenv("TRITOMO_DATA_DIR", str(tmp_path / "empty"))
    monkeypatch.setenv("TRITOMO_OFFLINE", "1")
    quotes = text("It is {glue:text}`later`, and the figure is {numref}`fig-later`.")
    drawn = code("plot(files)", metadata={"mystnb": {"figure": {"caption": "c", "name": "fig-later"}}})
    write(small_book / "chapter.ipynb", text("# Chapter"), code(MISSING), drawn, quotes)
    arguments = ["--source", str(small_book), "--into", str(tmp_path / "out")]
    assert cli.main(arguments) == 0
    assert "could not be had" not in capfd.readouterr().err
    page = (tmp_path / "out" / "html" / "chapter.html").read_text()
    assert "The dataset NMC_EELS_linescan_Jia is not here." in page
    assert 'class="tt-box tt-unavailable"' in page
    assert "Traceback" not in page
    assert "could not be had when this page was built" in page
    monkeypatch.setattr(cli, "sphinx", lambda *_, **__: [])  # the pages would be the same
    assert cli.main([*arguments, "--strict"]) == 1
    assert "chapter: NMC_EELS_linescan_Jia could not be had" in capfd.readouterr().err


@pytest.mark.acceptance
def test_each_warning_of_sphinx_fails_the_build(small_book, tmp_path, capfd):
    with (small_book / "intro.md").open("a") as page:
        page.write("\n" + "\n\n".join(PLANTED) + "\n")
    assert cli.main(["--source", str(small_book), "--into", str(tmp_path / "out")]) == 1
    said = capfd.readouterr().err
    assert "Sphinx ended with 1" in said
    assert all(name in said for name in ("nowhere", "tritomo_helpers.gone", "lost"))
