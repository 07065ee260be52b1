"""The manifest: complete, agreeing with its schema, found in a checkout and in a wheel; bad entries are refused."""

import copy
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest
import yaml

from tritomo_helpers import datasets, phantoms

ROOT = Path(__file__).parents[1]

GOOD = {
    "needle": {
        "title": "A needle",
        "description": "What it is.",
        "source": "https://example.org/needle",
        "technique": ["STEM"],
        "license": "MIT",
        "citation": "A. Author (2024)",
        "chapters": ["Masks and alignment"],
        "read": "`io.load_tilt_series`",
        "files": [
            {
                "role": "tilt_series",
                "file": "a b+c.mrc",
                "url": "https://example.org/a%20b%2Bc.mrc",
                "checksum": "sha256:" + "0" * 64,
                "size_bytes": 5,
            }
        ],
    }
}


def changed(**fields):
    document = copy.deepcopy(GOOD)
    document["needle"].update(fields)
    return document


def changed_file(**fields):
    document = copy.deepcopy(GOOD)
    document["needle"]["files"][0].update(fields)
    return document


def without(field):
    document = copy.deepcopy(GOOD)
    del document["needle"][field]
    return document


def test_the_manifest_agrees_with_its_schema_and_holds_every_checked_dataset():
    entries = datasets.manifest()
    assert datasets.read_manifest(datasets.manifest_path()) == entries
    real = {name: entry for name, entry in entries.items() if entry.generated is None}
    assert set(real) == {
        "etspy_needle_haadf_raw",
        "etspy_needle_haadf_aligned",
        "openNCEM_L2083_eds_tilt_10deg",
        "NMC_EELS_linescan_Jia",
        "NMC_charge_discharge_Jia",
        "LSMO_linescan_dualEELS",
        "Co3O4_Mn3O4_fusion_2D",
        "NMC111_graphite_discharge_AboutEnergy",
        "vendor_files",
    }
    assert sum(len(entry.files) for entry in real.values()) == 35
    assert all(entry.license and entry.citation and entry.chapters and entry.read for entry in entries.values())


def test_file_names_are_those_of_the_links_decoded():
    names = [(f.file, url) for e in datasets.manifest().values() for f in e.files for url in f.urls]
    assert any(" " in name and "+" in name for name, _ in names)
    for name, url in names:
        assert unquote(urlparse(url).path).rpartition("/")[2] == name


def test_links_are_pinned_to_a_commit():
    for entry in datasets.manifest().values():
        for file in entry.files:
            assert all(len(url.split("/")[5]) == 40 for url in file.urls)


def test_twelve_twins_each_with_its_controls_and_a_tiny_one():
    twins = {n: e.generated for n, e in datasets.manifest().items() if e.generated is not None}
    plain = {n: g for n, g in twins.items() if "control" not in g and "preset" not in g}
    stages = [name.removeprefix("twin/").rpartition("-")[0] for name in plain]
    assert {stage: stages.count(stage) for stage in stages} == {
        "pristine": 4,
        "cycled-50": 2,
        "cycled-100": 4,
        "cycled-200": 2,
    }
    assert len({g["seed"] for g in plain.values()}) == 12
    for name, generated in plain.items():
        assert name == f"twin/{generated['particle']}"
        stage = name.removeprefix("twin/").rpartition("-")[0]
        controls = phantoms.controls_of(stage)[1:]
        assert {twin for twin in twins if twin.startswith(f"{name}-")} == {f"{name}-{control}" for control in controls}
        for control in controls:
            # The same seed: a control differs from its particle in nothing but the specimen.
            assert twins[f"{name}-{control}"] == {**generated, "control": control}
    assert twins["twin/tiny"]["preset"] == "tiny"


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (without("license"), "'license' is a required property"),
        (without("files"), "needle"),
        (changed(licence="MIT"), "licence"),
        (changed(source="ftp://example.org"), "needle / source"),
        (changed(technique=["Magic"]), "Magic"),
        (changed(technique=[]), "technique"),
        (changed(chapters=[]), "chapters"),
        (changed(doi="doi:10.1/x"), "doi"),
        (changed(generated={"particle": "pristine-1", "seed": 1}), "needle"),
        (changed(files=[]), "files"),
        (changed_file(checksum="md5:" + "0" * 32), "checksum"),
        (changed_file(checksum="sha256:ABC"), "checksum"),
        (changed_file(size_bytes=0), "size_bytes"),
        (changed_file(size_bytes="5"), "size_bytes"),
        (changed_file(file="../escape.mrc"), "file"),
        (changed_file(file="folder/escape.mrc"), "file"),
        (changed_file(file="a%20b.mrc"), "file"),
        (changed_file(role="Tilt Series"), "role"),
        (changed_file(url="example.org/a.mrc"), "url"),
        (changed_file(url=[]), "url"),
        (changed_file(url={"archive": "https://example.org/a.zip", "member": "../a.mrc"}), "url"),
        (changed_file(url={"archive": "https://example.org/a.zip", "member": "/etc/a.mrc"}), "url"),
        ({"bad name": GOOD["needle"]}, "bad name"),
        ([], "object"),
    ],
)
def test_a_bad_entry_is_refused_by_name(document, words):
    with pytest.raises(ValueError, match="correct the entry") as caught:
        datasets.check_document(document)
    assert words in str(caught.value)


@pytest.mark.parametrize("key", ["role", "file"])
def test_a_role_or_file_used_twice_is_refused(key):
    document = copy.deepcopy(GOOD)
    document["needle"]["files"].append({**document["needle"]["files"][0], "role": "other", "file": "other.mrc"})
    datasets.check_document(document)
    document["needle"]["files"][1][key] = document["needle"]["files"][0][key]
    with pytest.raises(ValueError, match=f"expected each {key} once"):
        datasets.check_document(document)


def test_a_good_entry_reads_with_one_link_several_or_an_archive(tmp_path):
    archive = {"archive": "https://example.org/a.zip", "member": "data/a.mrc"}
    document = changed_file(url=["https://example.org/a.mrc", archive])
    path = tmp_path / "manifest.yaml"
    path.write_text(yaml.safe_dump(document))
    (entry,) = datasets.read_manifest(path).values()
    assert entry.files[0].urls == ("https://example.org/a.mrc", datasets.ArchiveMember(**archive))
    assert entry.size_bytes == 5


def test_an_entry_that_cannot_be_used_is_named_even_without_the_check(tmp_path):
    path = tmp_path / "manifest.yaml"
    path.write_text(yaml.safe_dump(without("title")))
    with pytest.raises(ValueError, match="'title' is a required property"):
        datasets.read_manifest(path, check=False)


def test_a_file_that_is_not_yaml_is_refused(tmp_path):
    path = tmp_path / "manifest.yaml"
    path.write_text("a: [1, 2")
    with pytest.raises(ValueError, match="expected YAML"):
        datasets.read_manifest(path)


def test_an_unknown_name_is_answered_with_similar_ones():
    with pytest.raises(ValueError, match="did you mean NMC_EELS_linescan_Jia"):
        datasets.dataset("nmc_eels")


def test_the_wheel_brings_manifest_and_schema(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(installed)
    assert (installed / "tritomo_helpers/data/data_manifest.yaml").read_bytes() == (
        ROOT / "data_manifest.yaml"
    ).read_bytes()
    code = "from tritomo_helpers import datasets as d; print(d.manifest_path()); print(len(d.manifest()))"
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        check=True,
        capture_output=True,
        text=True,
    )
    where, count = ran.stdout.split()
    assert Path(where).is_relative_to(installed)
    assert int(count) == len(datasets.manifest())


def used_datasets():
    """Yield (title of the chapter, dataset) for every teaching.data(...) and datasets.fetch(...) in the notebooks."""
    for path in sorted((ROOT / "book").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        text = "\n".join("".join(cell["source"]) for cell in cells)
        title = re.search(r"^# (.+)$", text, re.MULTILINE)[1]
        code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        for name in re.findall(r"(?:teaching\.data|datasets\.fetch)\(\s*[\"']([^\"']+)[\"']", code):
            yield title, name


def test_every_chapter_that_uses_a_dataset_is_named_in_its_entry():
    used = set(used_datasets())
    assert ("One scan, three signals", "NMC_EELS_linescan_Jia") in used
    unnamed = [(title, name) for title, name in used if title not in datasets.dataset(name).chapters]
    assert not unnamed
