"""The frame around the package: locks, Binder files, lint rules that are seen to catch what they are for."""

import ast
import contextlib
import io
import itertools
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import nbformat
import nbstripout
import pytest
import yaml

ROOT = Path(__file__).parent.parent
TOOLS = Path(sys.executable).parent


def run(*command, cwd=ROOT, **options):
    return subprocess.run([str(c) for c in command], cwd=cwd, capture_output=True, text=True, check=False, **options)


def locked(name):
    return dict(re.findall(r"^([a-z0-9._-]+)==([^ ;\\]+)", (ROOT / name).read_text(), flags=re.M))


def installed(name):
    """Return the packages of a lock that this platform has."""
    here = {re.sub(r"[-_.]+", "-", found.name).lower() for found in metadata.distributions() if found.name}
    return [package for package in locked(name) if package in here]


@pytest.mark.parametrize("name", ["requirements-lock.txt", "requirements-dev-lock.txt"])
def test_lock_has_hashes_and_no_host(name):
    text = (ROOT / name).read_text()
    entries = re.split(r"\n(?=[a-z0-9])", text)[1:]
    assert len(entries) > 100
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "://" not in text
    assert "index-url" not in text.split("\n", 2)[2]


def test_binder_lock_is_lean_and_agrees_with_the_developers_lock():
    binder, developers = locked("requirements-lock.txt"), locked("requirements-dev-lock.txt")
    assert {"jupyter-book", "jupyterlab", "numpy", "scipy", "matplotlib", "ipywidgets", "hyperspy", "pooch"} <= set(
        binder
    )
    assert not {"edrixs", "pytest", "ruff", "mypy", "astra-toolbox", "playwright"} & set(binder)
    assert {"hatchling"} <= set(binder), "the build backend, so that postBuild fetches nothing unhashed"
    assert binder.items() <= developers.items()


def test_binder_environment_stays_small():
    """What is installed of the readers' lock, in bytes; that of developers has VTK and libraries of CUDA besides."""
    sizes = {
        name: sum(file.size or 0 for file in metadata.files(name) or ()) for name in installed("requirements-lock.txt")
    }
    assert sum(sizes.values()) < 2e9
    assert sizes["numpy"] > 1e7


def test_binder_files():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert "python=3.11" in environment["dependencies"]
    assert {"pip": ["-r requirements-lock.txt"]} in environment["dependencies"]
    assert not (ROOT / "binder").exists(), "it would make repo2docker overlook environment.yml"
    assert "--no-deps" in (ROOT / "postBuild").read_text()


def test_repo2docker_picks_up_environment_and_post_build(tmp_path):
    tool = TOOLS / "jupyter-repo2docker"
    if not tool.exists():
        pytest.skip("jupyter-repo2docker is not installed")
    for name in ("environment.yml", "postBuild", "requirements-lock.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    result = run(tool, "--no-build", "--debug", tmp_path, cwd=tmp_path)
    said = result.stdout + result.stderr
    assert "python=3.11" in said
    copied, updated, post = (said.index(words) for words in ("COPY --chown=0:0 src/", "env update", "RUN ./postBuild"))
    assert copied < updated < post, "the lock must be there when environment.yml asks for it"


@pytest.mark.acceptance
@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_locks_install_on_every_supported_python(version, tmp_path):
    said = run(
        TOOLS / "uv", "pip", "install", "--dry-run", "--require-hashes", "--only-binary", ":all:", "--no-cache",
        "--python", sys.executable, "--python-version", version, "--target", tmp_path, "-r", "requirements-lock.txt",
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    assert "Would install" in said.stderr


@pytest.fixture
def copy_of_package(tmp_path):
    shutil.copytree(
        ROOT / "tritomo_helpers", tmp_path / "tritomo_helpers", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


PLANTED = {
    "upwards": ("containers.py", "from tritomo_helpers import tomography", "Imports go down only"),
    "inverse crime": ("simulation/__init__.py", "from tritomo_helpers import projection", "Simulated data"),
    "second reader of files": ("tomography/__init__.py", "import hyperspy", "imported by io alone"),
}


@pytest.mark.parametrize("planted", [None, *PLANTED])
def test_import_linter_catches_planted_imports(planted, copy_of_package):
    if planted:
        name, line, _ = PLANTED[planted]
        with (copy_of_package / "tritomo_helpers" / name).open("a") as module:
            module.write(f"\n{line}\n")
    said = run(
        TOOLS / "lint-imports", "--no-cache", cwd=copy_of_package, env={"PYTHONPATH": "", "PATH": "/usr/bin:/bin"}
    )
    assert (said.returncode == 0) == (planted is None), said.stdout
    if planted:
        assert re.search(PLANTED[planted][2] + r".* BROKEN", said.stdout)


def test_unstripped_notebook_is_caught(tmp_path, monkeypatch):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 + 1")])
    nbformat.write(notebook, tmp_path / "clean.ipynb")
    notebook.cells[0].outputs = [nbformat.v4.new_output("stream", text="2")]
    nbformat.write(notebook, tmp_path / "full.ipynb")
    for name in ("clean", "full"):
        for stream in ("stdin", "stdout"):  # it takes hold of both and closes them
            monkeypatch.setattr(sys, stream, io.TextIOWrapper(io.BytesIO()))
        monkeypatch.setattr(sys, "argv", ["nbstripout", "--keep-id", "--verify", str(tmp_path / f"{name}.ipynb")])
        with contextlib.nullcontext() if name == "clean" else pytest.raises(SystemExit, match="1"):
            nbstripout.main()


def test_wrong_python_is_one_clear_sentence(tmp_path):
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools" / "make_venv.sh", tmp_path / "tools")
    said = run("sh", "tools/make_venv.sh", cwd=tmp_path, env={"PATH": "/usr/bin:/bin", "PYTHON": "false"})
    assert said.returncode == 1
    assert said.stderr.count("\n") == 1
    assert "needs Python 3.11, 3.12 or 3.13" in said.stderr


def test_nothing_of_a_machine_or_registry_stands_in_the_project():
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    registries = "py" + r"pi\.org|python" + r"hosted\.|registry\.npm" + r"js|deb\.deb" + "ian"
    found = run("git", "grep", "-lIE", f"{registries}|(^|[ \"'(=:])/(work|farm|root)/[A-Za-z.]", "--", ".").stdout
    assert found == ""


def test_what_the_package_imports_it_declares():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = itertools.chain(project["dependencies"], *project["optional-dependencies"].values())
    declared = {re.match(r"[\w.-]+", line)[0].lower().replace("_", "-") for line in wanted}
    imported = set()
    for path in (ROOT / "tritomo_helpers").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {name.name.partition(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported.add(node.module.partition(".")[0])
    providers = metadata.packages_distributions()
    foreign = imported - set(sys.stdlib_module_names) - {"tritomo_helpers"}
    missing = {name for name in foreign if not {d.lower().replace("_", "-") for d in providers[name]} & declared}
    assert missing == set()
