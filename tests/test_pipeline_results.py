"""What results of the pipeline depend on: references, optics, files beside others, and runs before."""

import json
import shutil
import sys
import threading
import time
from dataclasses import replace
from unittest import mock

import numpy as np
import pytest
from scipy import stats

from tests.grain import adf_series
from tritomo_helpers import io, pipeline, valence
from tritomo_helpers.alignment import Alignment
from tritomo_helpers.containers import TiltSeries, Tomogram
from tritomo_helpers.particles import Verdict
from tritomo_helpers.pipeline import chemistry, outcome, spectra
from tritomo_helpers.pipeline.process import _Keeper
from tritomo_helpers.pipeline.study import averages_of_stages
from tritomo_helpers.pipeline.study_report import study_page
from tritomo_helpers.pipeline.volumes import as_row
from tritomo_helpers.spectroscopy import references
from tritomo_helpers.store import files


@pytest.fixture
def place(tmp_path):
    folder = tmp_path / "grain"
    folder.mkdir()
    io.save(adf_series(), folder / "adf.mrc")
    return folder


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A folder with ADF alone, and its results."""
    folder = tmp_path_factory.mktemp("grain")
    io.save(adf_series(), folder / "adf.mrc")
    return folder, pipeline.process(folder, out=tmp_path_factory.mktemp("out") / "results")


def test_intervals_are_those_of_95_percent():
    means, errors = {"O": 0.6, "Mn": 0.4}, {"O": 0.01, "Mn": 0.02}
    values = outcome._composition_values(chemistry.Composition(means, errors, {}, {}))
    low, high = stats.norm.interval(0.95, 60, 1)
    assert (values["O_low"], values["O_high"]) == pytest.approx((low, high), abs=1e-3)
    null = np.random.default_rng(0).permutation(np.linspace(-1, 1, 401))
    assert as_row(Verdict(0.99, null, 0.01, 0.05)) == pytest.approx([0.99, -0.95, 0.95, 0.01])


class _ReachedError(Exception):
    pass


@pytest.mark.parametrize("chosen", ["charge-transfer", "own"])
def test_white_lines_are_those_of_the_references_that_are_fitted(monkeypatch, chosen):
    """The two computed sets differ by 13 % in Mn4+ against Mn2+; nickel has no white lines to normalize by."""
    own = {el: [references.load(el, "charge-transfer")] for el in ("Mn", "Co", "Ni")}
    given = {}

    def reconstruct(maps, *, support, white_line_factors_by_state):
        given.update(white_line_factors_by_state)
        raise _ReachedError

    monkeypatch.setattr(spectra.valence, "published_maps", mock.Mock())
    monkeypatch.setattr(spectra.valence, "published_volumes", reconstruct)
    monkeypatch.setattr(spectra.tilt_series, "otsu_masks", lambda _: None)
    particle = mock.Mock(shells=np.ones(1))
    with pytest.raises(_ReachedError):
        spectra.by_published_chain(
            *[mock.MagicMock()] * 4,
            particle,
            references=own if chosen == "own" else spectra.reference_sets("charge-transfer"),
        )
    expected = valence.white_line_factors(references.load("Mn", "charge-transfer"))
    assert {state: given[state] for state in expected} == expected
    assert given["Mn4"] / given["Mn2"] < 1, "the crystal-field set has 1.12"
    assert set(given) == {"Mn4", "Mn3", "Mn2", "Co3", "Co2"}


def test_intervals_hold_all_reference_sets_and_95_percent_of_the_counting(monkeypatch):
    """And where percentages are withheld there is no verdict either."""
    maps = mock.Mock(
        elements=("Mn",), reportable={"Mn": False}, systematic={"Mn4": (49.0, 53.0)}, chi2=1.0, warnings=()
    )
    maps.states_of = lambda _: ("Mn4", "Mn2")
    maps.particle_percentages = lambda: {"Mn4": (50.0, 1.0), "Mn2": (45.0, 2.0), "Ni2": (100.0, 0.0)}
    hidden = Tomogram(np.full((2, 2, 2), np.nan), 1.0)
    volumes = mock.Mock(fractions={"Mn4": hidden, "Mn2": hidden}, choices={})
    monkeypatch.setattr(spectra.valence, "align_maps", lambda maps, _: maps)
    monkeypatch.setattr(spectra.valence, "reconstruct", lambda *_, **__: volumes)
    monkeypatch.setattr(spectra, "in_shells", mock.Mock())
    monkeypatch.setattr(spectra, "estimates", mock.Mock(side_effect=AssertionError))
    density = mock.Mock(values=np.ones((2, 2, 2)), voxel_size_nm=1.0)
    found = spectra.by_forward_model(maps, mock.Mock(), density, mock.Mock(shells=np.ones((2, 2, 2))), None)
    assert found.percent == {"Mn4": 50.0, "Mn2": 45.0}
    assert found.low == pytest.approx({"Mn4": 49 - 1.96, "Mn2": 45 - 3.92})
    assert found.high == pytest.approx({"Mn4": 53 + 1.96, "Mn2": 45 + 3.92})
    assert found.shares is None
    assert np.isnan(found.coupling).all()


def test_a_stage_is_made_again_when_angles_beside_a_stack_change(place):
    angles = place / "adf.rawtlt"

    def depends_on():
        understood = pipeline.understand(place)
        return _Keeper(place, understood, understood.checksums(), resume=True)._of(("adf",))

    before = depends_on()
    assert depends_on() == before
    angles.write_text("\n".join(reversed(angles.read_text().split())) + "\n")
    assert depends_on() != before


def test_files_of_one_name_in_two_folders_have_each_their_checksum(tmp_path):
    for role, counts in (("a", 1.0), ("b", 2.0)):
        (tmp_path / role).mkdir()
        io.save(adf_series().replace(images=counts * adf_series().images), tmp_path / role / "x.hspy")
    (tmp_path / "tritomo.yaml").write_text("files: {adf: a/x.hspy}\n")
    channel = pipeline.understand(tmp_path).channels["adf"]
    both = replace(channel, files=(tmp_path / "a" / "x.hspy", tmp_path / "b" / "x.hspy"))
    checksums = pipeline.Understood("both", {"adf": both}, {}, {}, (), ()).checksums()
    assert set(checksums) == {"a/x.hspy", "b/x.hspy"}
    assert len(set(checksums.values())) == 2


def test_volumes_of_an_earlier_run_do_not_stay_beside_those_of_a_new_one(done, tmp_path):
    place, first = done
    out = shutil.copytree(first, tmp_path / "results")
    provenance = json.loads((out / "provenance.json").read_text(encoding="utf-8"))
    (out / "provenance.json").write_text(json.dumps({**provenance, "volumes": ["adf", "Mn4"]}), encoding="utf-8")
    for name in ("Mn4.mrc", "mine.mrc"):
        shutil.copy(out / "adf.mrc", out / name)
    pipeline.process(place, out=out)
    assert (out / "adf.mrc").exists()
    assert (out / "mine.mrc").exists(), "not of the pipeline"
    assert not (out / "Mn4.mrc").exists()


def test_the_results_of_one_particle_are_not_replaced_by_another(done, tmp_path):
    place, out = done
    other = shutil.copytree(place, tmp_path / "other")
    before = (out / "summary.json").read_bytes()
    with pytest.raises(ValueError, match=f"a folder of its own for other, got .*holds the results of {place.name}"):
        pipeline.process(other, out=out)
    assert (out / "summary.json").read_bytes() == before


def test_thickness_is_not_read_with_the_optics_of_another_microscope(place):
    understood = pipeline.understand(place)
    assert replace(understood, settings={"beam_energy_kev": 300}).other_optics == {}
    assert replace(understood, settings={"beam_energy_kev": 200}).other_optics == {"beam_energy_kev": 200.0}


def test_one_particle_does_not_end_a_study_whatever_happens_to_it(monkeypatch, tmp_path):
    def process(source, *, out, **options):
        raise MemoryError("12 GB")

    monkeypatch.setattr(sys.modules["tritomo_helpers.pipeline.study"], "process", process)
    folder = pipeline.study([tmp_path / "one", tmp_path / "two"], out=tmp_path / "study")
    lines = (folder / "particles.csv").read_text().splitlines()
    assert len(lines) == 3
    assert all("failed" in line and "MemoryError: 12 GB" in line for line in lines[1:])


def test_maps_of_the_null_have_the_counts_and_the_noise_of_the_recorded_ones():
    """A block in a box: counts of each tilt and element as recorded, noise as its covariance says, and no structure."""
    rng = np.random.default_rng(3)
    angles, shape = np.array([-20.0, 0.0, 20.0]), (3, 16, 16)
    covariance = np.array([[9.0, -2.0], [-2.0, 4.0]])
    matter = np.zeros((16, 16, 16), np.float32)
    matter[4:12, 4:12, 4:12] = 1
    clustered = np.zeros(shape)
    clustered[:, 4:8, 4:12] = 50.0
    maps = {el: TiltSeries((s * clustered).astype(np.float32), angles, 4.63) for el, s in (("O", 3.0), ("Mn", 1.0))}
    lines = chemistry.Lines(("O", "Mn"), maps, {}, np.broadcast_to(covariance, (*shape, 2, 2)).astype(np.float32), ())
    centered = Alignment(np.zeros((3, 2)), angles)
    aligned = mock.Mock(of_kept=centered)
    several = [chemistry.null_maps(maps, lines, aligned, matter, rng=rng) for _ in range(40)]
    images = np.array([[null[el].images for null in several] for el in ("O", "Mn")])
    total = images.sum(axis=(3, 4)).mean(axis=1)
    expected = np.array([maps[el].images.sum(axis=(1, 2)) for el in ("O", "Mn")])
    np.testing.assert_allclose(total, expected, rtol=0.02)
    noise = (images - images.mean(axis=1, keepdims=True)).reshape(2, -1)
    np.testing.assert_allclose(np.cov(noise) * 40 / 39, covariance, atol=0.25)
    rich_half, poor_half = images.mean(axis=1)[1, :, 4:8].sum(), images.mean(axis=1)[1, :, 8:12].sum()
    assert rich_half == pytest.approx(poor_half, rel=0.05), "all of the counts of the maps came from one half"


def test_results_never_replace_what_was_recorded(place):
    before = {file.name: file.read_bytes() for file in place.iterdir() if file.is_file()}
    with pytest.raises(ValueError, match="out: expected a folder of its own for the results"):
        pipeline.process(place, out=place)
    assert {file.name: file.read_bytes() for file in place.iterdir() if file.is_file()} == before


def test_a_second_run_says_that_it_waits_for_the_first(done, tmp_path, capsys):
    place, first = done
    out = shutil.copytree(first, tmp_path / "results")
    (out / "summary.json").unlink()
    second = threading.Thread(target=pipeline.process, args=(place,), kwargs={"out": out})
    said = ""
    with files.locked(out / ".lock"):
        second.start()
        while "Another run writes to" not in said and second.is_alive():
            time.sleep(0.05)
            said += capsys.readouterr().err
        assert "waiting until it has ended" in said
        assert not (out / "summary.json").exists()
    second.join()
    assert (out / "summary.json").exists()


def test_an_element_that_is_not_there_ends_no_run():
    """Silicon dioxide looked at with the elements of a cathode: the noise of cobalt may come out below zero."""
    counts = {"O": 9.0, "Mn": 0.2, "Co": -0.1, "Ni": 0.1}
    maps = {el: TiltSeries(np.full((3, 8, 8), n), (-20.0, 0.0, 20.0), 2.0, el) for el, n in counts.items()}
    lines = chemistry.Lines(tuple(counts), maps, maps, np.zeros((4, 4), dtype=np.float32))
    k = dict.fromkeys(chemistry.OXIDE, 1.0)
    found = chemistry.compose(lines, None, None, None, k_factors=k, k_source="given", method="best")
    assert found.shares is None
    assert found.not_done.startswith("Co (-")
    assert "name the elements of the specimen" in found.warnings[-1]
    assert sum(found.mean.values()) == pytest.approx(1)


def test_a_setting_that_contradicts_the_files_is_said_aloud(tmp_path):
    place = tmp_path / "grain"
    place.mkdir()
    io.save(adf_series(), place / "adf.hspy")
    stated = pipeline.understand(place).channels["adf"].pixel_size_nm
    (place / "tritomo.yaml").write_text(f"pixel_size_nm: {stated}\n")
    assert not any("pixel_size_nm" in note for note in pipeline.understand(place).notes)
    (place / "tritomo.yaml").write_text("pixel_size_nm: 2.0\ntilt_angles_deg: [-50, -20, 0, 20, 50]\n")
    said = pipeline.understand(place)
    assert f"pixel_size_nm is 2 by tritomo.yaml, and the files of ADF state {stated:.4g}" in said.notes
    assert any(note.startswith("tilt_angles_deg is -50 ... by tritomo.yaml") for note in said.notes)
    assert "tilt axis       image y, as nothing says otherwise" in said.table()


def test_volts_are_not_taken_for_kilovolts(place):
    (place / "tritomo.yaml").write_text("beam_energy_kev: 200000\n")
    with pytest.raises(ValueError, match=r"beam_energy_kev in tritomo\.yaml: expected .* 20 to 1500"):
        pipeline.understand(place)


def test_the_page_of_a_study_names_and_rounds_values_as_that_of_one_particle_does():
    rows = [
        {
            "particle": name,
            "stage": "new",
            "state": "done",
            "Mn4_percent": value,
            "Mn4_low": value - 1,
            "Mn4_high": 99.0,
        }
        for name, value in (("a", 80.0), ("b", 81.0))
    ]
    rows[1]["outlier_in"] = "Mn4_percent"
    page = study_page(rows, averages_of_stages(rows), ["a", "b"])
    assert "<td>80.50 \N{PLUS-MINUS SIGN} 0.71</td>" in page
    assert "<td>80.0 (79.0 to 99.0)</td>" in page
    assert "b lies far from its stage in Mn\N{SUPERSCRIPT FOUR}\N{SUPERSCRIPT PLUS SIGN} (% of its element)" in page
