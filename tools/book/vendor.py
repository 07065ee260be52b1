"""Scripts that a page would load from a server, packed by npm into ``_build/vendor`` and served from the book itself.

Without npm, or without a network for it, the pages keep the links to the servers: they work, but not offline.
"""

import base64
import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from tools.book import BUILD
from tritomo_helpers.datasets import offline
from tritomo_helpers.store.files import atomic_folder

VENDOR = BUILD / "vendor"
# Package and version -> the folder inside it that is served.
PAGES = {"mathjax@3.2.2": "es5", "requirejs@2.3.6": "", "@jupyter-widgets/html-manager@1.0.15": "dist"}
AXE = {"axe-core@4.14.1": ""}  # for the tests alone; never part of the book
# What npm must deliver: the digest that its registry names, kept here so that nothing else can come in its place.
INTEGRITY = {
    "mathjax@3.2.2": "Bt+SSVU8eBG27zChVewOicYs7Xsdt40qm4+UpHyX7k0/O9NliPc+x77k1/FEsPsjKPZGJvtRZM1vO+geW0OhGw==",
    "requirejs@2.3.6": "ipEzlWQe6RK3jkzikgCupiTbTvm4S0/CAU5GlgptkN5SO6F3u0UD0K18wy6ErDqiCyP4J4YYe1HuAShvsxePLg==",
    "@jupyter-widgets/html-manager@1.0.15": (
        "5thBIV6ymNgmPVOHvzx+gGy8ZSKmSazhtGw4/c4xJDVzRhG9PTeQsRjF3FUTopvFi//SABeNz1yp47bCrJ3CQA=="
    ),
    "axe-core@4.14.1": "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==",
}
# What no page asks for: source maps, other builds of the same code, speech in other languages.
UNUSED = ("*.map", "node-main.js", "*-svg*.js", "bin", "mathmaps", "embed.js", "libembed-amd.js", "*.md")


def folder_of(package: str) -> str:
    """Return the folder name of ``@scope/name@version``.

    >>> folder_of("@jupyter-widgets/html-manager@1.0.15")
    'html-manager-1.0.15'
    """
    return package.rpartition("/")[2].replace("@", "-")


def fetch(packages: dict[str, str], into: Path = VENDOR) -> str:
    """Pack each package into `into`; return "" or the reason why that is not possible."""
    missing = [p for p in packages if not (into / folder_of(p)).is_dir()]
    if not missing:
        return ""
    npm = shutil.which("npm")
    if npm is None:
        return "npm is not installed"
    if offline():
        return "TRITOMO_OFFLINE forbids npm to use the network"
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into) as folder:
        for package in missing:
            command = [npm, "pack", package, "--silent", "--fetch-retries=1", "--fetch-timeout=60000"]
            try:
                said = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=180, check=False)
            except subprocess.TimeoutExpired:
                return f"npm took too long to pack {package}"
            if said.returncode:
                return f"npm could not pack {package}: {said.stderr.strip()[-300:] or 'no network?'}"
            archive = Path(folder) / said.stdout.strip().splitlines()[-1]
            digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
            if digest != INTEGRITY[package]:
                return f"npm delivered {package} with another content than expected (sha512-{digest})"
            with tarfile.open(archive) as tar:
                tar.extractall(Path(folder) / "unpacked", filter="data")
            root = Path(folder) / "unpacked" / "package"
            wanted = root / packages[package]
            with atomic_folder(into / folder_of(package)) as staged:
                shutil.copytree(wanted, staged, ignore=shutil.ignore_patterns(*UNUSED), dirs_exist_ok=True)
                for notice in root.glob("LICENSE*"):
                    shutil.copy(notice, staged)
            shutil.rmtree(root.parent)
    return ""


def axe() -> Path | str:
    """Return the path of axe.min.js, or the reason why it cannot be had."""
    return fetch(AXE) or VENDOR / folder_of(next(iter(AXE))) / "axe.min.js"


def sphinx_config(prefix: str = "../vendor") -> dict[str, object]:
    """Return the settings that make pages load the packed scripts; `prefix` is the way to them from ``_static``."""
    mathjax, require, widgets = (f"{prefix}/{folder_of(p)}" for p in PAGES)
    return {
        "mathjax_path": f"{mathjax}/tex-mml-chtml.js",
        "nb_ipywidgets_js": {f"{require}/require.js": {}, f"{widgets}/embed-amd.js": {}},
    }
