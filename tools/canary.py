"""By hand, now and then: what will break next.

``make canary`` runs the fast tests with the newest dependencies that the ranges allow, instead of those of the lock, on
the oldest and the newest Python that are supported; and it builds the pages of ``make book`` once more by Sphinx alone,
from the same sources: the same pages without a warning, so that nothing hangs on Jupyter Book 1.
"""

import argparse
import html
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLACE = ROOT / "_build/canary"
PYTHONS = ("3.11", "3.13")
TOOLS = Path(sys.executable).parent
TEST_TOOLS = (
    *("pytest", "pytest-timeout", "pytest-xdist", "hypothesis", "import-linter", "nbstripout"),
    *("etspy", "pyEELSMODEL", "vtk", "xraydb"),
)
"""What tests need besides the package and the book; checks of style, types and pages are for the lock alone."""


def main() -> int:
    """Run what is asked for and say what went wrong."""
    parser = argparse.ArgumentParser(description=__doc__, epilog="Other arguments are handed to pytest.")
    parser.add_argument("--only", choices=["tests", "pages"], help="one of both; both by default")
    parser.add_argument("--python", action="append", help=f"versions to test with, default {' and '.join(PYTHONS)}")
    parser.add_argument("--source", type=Path, default=ROOT / "_build/html-src", help="what make book gave to Sphinx")
    parser.add_argument("--pages", type=Path, default=ROOT / "_build/html", help="what it made of it")
    options, arguments = parser.parse_known_args()
    problems: list[str] = []
    if options.only != "tests":
        problems += build_by_sphinx_alone(options.source, options.pages)
    if options.only != "pages":
        for version in options.python or PYTHONS:
            problems += test_with_the_newest(version, arguments)
    for problem in problems:
        print(f"PROBLEM {problem}")
    return bool(problems)


def requirements() -> list[str]:
    """Return the ranges: those of the package, and those of the tools that make the book."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (ROOT / "requirements.in").read_text(encoding="utf-8").splitlines()
    named = {re.split(r"[<>=\[ ]", line)[0].lower() for line in project["dependencies"]}
    return [*project["dependencies"], *(line for line in lines if re.split(r"[<>=\[ ]", line)[0].lower() not in named)]


def test_with_the_newest(version: str, arguments: list[str]) -> list[str]:
    """Install the newest of everything for one Python, and run the fast tests that do not look at built pages."""
    place = PLACE / f"python{version}"
    python = place / "bin/python"
    uv = TOOLS / "uv"
    steps = [
        [uv, "venv", "--quiet", "--allow-existing", "--python", version, place],
        [uv, "pip", "install", "--quiet", "--upgrade", "--python", python, *requirements(), *TEST_TOOLS],
        [uv, "pip", "install", "--quiet", "--no-deps", "--python", python, "--editable", ROOT],
        [uv, "pip", "list", "--python", python],
    ]
    for step in steps:
        if run(step):
            return [f"Python {version}: {' '.join(map(str, step[1:3]))} failed; its messages are above"]
    tests = arguments or ["-m", "not acceptance", "--ignore=tests/book", "--numprocesses=2", "--dist=loadfile"]
    failed = run([python, "-m", "pytest", "-p", "no:cacheprovider", *tests])
    return [f"Python {version}: tests fail with the newest dependencies"] if failed else []


def build_by_sphinx_alone(source: Path, pages: Path) -> list[str]:
    """Build the staged sources by sphinx-build, warnings being errors, and compare with the pages of Jupyter Book."""
    if not (source / "_config.yml").exists():
        return [f"{source} is not there: run make book first"]
    staged, built = PLACE / "source", PLACE / "html"
    for old in (staged, built):
        shutil.rmtree(old, ignore_errors=True)
    shutil.copytree(source, staged)
    if run([TOOLS / "jupyter-book", "config", "sphinx", staged]):  # writes conf.py, once and for all
        return ["conf.py could not be written"]
    if run([TOOLS / "sphinx-build", "-q", "-n", "-W", "--keep-going", "-b", "html", staged, built]):
        return ["sphinx-build alone warns or fails; its messages are above"]
    return different_pages(built, pages)


def different_pages(built: Path, pages: Path) -> list[str]:
    """Name the pages that are missing on one side, or say something else."""
    names = [{path.relative_to(place).as_posix() for path in place.rglob("*.html")} for place in (built, pages)]
    problems = [f"{name} is made by one of the two alone" for name in sorted(names[0] ^ names[1])]
    shared = sorted(names[0] & names[1])
    return problems + [
        f"{name} reads differently" for name in shared if words_of(built / name) != words_of(pages / name)
    ]


def words_of(page: Path) -> list[str]:
    """Return the words of the article on a page."""
    text = page.read_text(encoding="utf-8")
    article = text[text.find("<article") : text.rfind("</article>")]
    article = re.sub(r"<(script|style)\b.*?</\1>", " ", article, flags=re.DOTALL)
    return html.unescape(re.sub(r"<[^>]+>", " ", article)).split()


def run(command: list[object]) -> int:
    """Run a command from the root, its messages going where ours go."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run([str(word) for word in command], cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
