"""The README: its links lead to files, its code runs as it stands there."""

import re
import subprocess
import sys

import numpy as np
import pytest
import yaml

from tools.book import ROOT
from tritomo_helpers import io

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def missing(text):
    """Return the relative targets of links and pictures that are not there."""
    targets = [target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text)]
    return [t for t in targets if t and not re.match(r"[a-z]+:", t) and not (ROOT / t).exists()]


def test_relative_links_lead_to_files():
    assert missing(TEXT) == []
    assert missing("[a](LICENSE) ![b](book/gone.png) [c](#here) [d](https://example.org)") == ["book/gone.png"]


@pytest.mark.acceptance
def test_python_runs_as_it_stands(tmp_path):
    (block,) = re.findall(r"^```python\n(.*?)^```", TEXT, re.M | re.S)
    said = subprocess.run([sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    values = io.load_tomogram(tmp_path / "particle.mrc").values
    assert values.shape == (64, 64, 64)
    assert np.isfinite(values).all()
    assert values.max() > 0
    assert "tritomo-viewer" in (tmp_path / "particle.html").read_text(encoding="utf-8"), "the picture it promises"


def test_address_of_the_repository_is_one_setting():
    address = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["repository"]["url"]
    hosts = re.findall(r"https?://(?:github\.com|mybinder\.org)/[^\s)>]*tritomo[^\s)>]*", TEXT)
    assert all(address and address in host for host in hosts), "while it is empty the README leads nowhere"


def test_commands_use_the_environment_of_the_repository():
    assert re.findall(r"(?<!\.venv/bin/)\bpython -m\b", TEXT) == []


def test_picture_is_made_of_the_products_of_today():
    from PIL import Image

    from tools import make_answer

    assert "book/_static/answer.png" in TEXT
    with Image.open(make_answer.PICTURE) as picture:
        assert picture.text[make_answer.MADE_OF] == make_answer.made_of(), "run tools/make_answer.py"
    assert make_answer.PICTURE.stat().st_size < 150_000
