"""What a folder is understood to be, and what is refused before anything runs."""

import h5py
import numpy as np
import pytest

from tests.grain import ANGLES, PIXEL_NM, N, adf_series, spectra
from tritomo_helpers import datasets, io, pipeline
from tritomo_helpers.__main__ import main
from tritomo_helpers.containers import TiltSeries
from tritomo_helpers.pipeline.inputs import line_window_ev


@pytest.fixture
def folder(tmp_path):
    """A folder with names that say nothing."""
    place = tmp_path / "grain 7"
    place.mkdir()
    io.save(adf_series(), place / "a.mrc")
    io.save(spectra(0, 200), place / "b.hspy")
    io.save(spectra(-20, 5), place / "c.hspy")
    io.save(spectra(600, 5), place / "d.hspy")
    (place / "notes.txt").write_text("lunch at twelve")
    return place


def test_roles_go_by_content_and_not_by_name(folder):
    understood = pipeline.understand(folder)
    assert {role: channel.files[0].name for role, channel in understood.channels.items()} == {
        "adf": "a.mrc",
        "eds": "b.hspy",
        "low_loss": "c.hspy",
        "core_loss": "d.hspy",
    }
    assert understood.problems == ()
    assert understood.ignored == {"notes.txt": "no format of a microscope"}
    assert "a.mrc: 5 x 24 x 24, 5 tilts -60 to 60 deg, 4.63 nm per pixel, images" in understood.table()
    assert understood.load("core_loss").label == "EELS core-loss"


def test_one_file_per_tilt_and_a_yaml_that_says_the_rest(tmp_path):
    series = adf_series()
    for name, image in zip("abcde", series.images, strict=True):
        io.save(TiltSeries(image[None], [0], 1.0, "ADF"), tmp_path / f"{name}.hspy")
    words = f"tilt_angles_deg: {ANGLES.tolist()}\npixel_size_nm: 4.63\n"
    (tmp_path / "tritomo.yaml").write_text(words)
    channel = pipeline.understand(tmp_path).channels["adf"]
    assert (len(channel.files), channel.shape, channel.pixel_size_nm) == (5, (5, N, N), 4.63)
    np.testing.assert_array_equal(channel.tilt_angles_deg, ANGLES)
    (tmp_path / "tritomo.yaml").write_text(words + "files: {adf: [a.hspy]}\n")
    assert any("expected 1" in problem for problem in pipeline.understand(tmp_path).problems)


def test_a_folder_may_ask_for_bins_and_a_dataset_of_the_manifest_brings_its_settings(folder):
    (folder / "tritomo.yaml").write_text("bin: 2\n")
    understood = pipeline.understand(folder)
    assert {channel.shape[:3] for channel in understood.channels.values()} == {(5, N // 2, N // 2)}
    for channel in understood.channels.values():
        assert channel.pixel_size_nm == pytest.approx(2 * PIXEL_NM)
    assert np.asarray(understood.load("eds").counts).max() == 4
    (folder / "tritomo.yaml").write_text("bin: 5\n")
    assert any("a divisor of 24 and of 24 pixels, got 5" in problem for problem in pipeline.understand(folder).problems)
    assert datasets.dataset("etspy_needle_haadf_raw").settings == {"tilt_axis": "x", "bin": 4}


def without(name):
    return lambda place: (place / name).unlink()


def saved(name, series):
    return lambda place: io.save(series, place / name)


def test_lines_are_looked_for_where_the_elements_have_them():
    assert line_window_ev(("O", "Mn", "Co", "Ni")) == (350.0, 1200.0)
    low, high = line_window_ev(("O", "Mg", "Si", "Fe"))
    assert low == 350.0
    assert 1740 + 100 < high < 2307, "Si K with room, and not yet S K"


def test_two_tilts_make_no_tomogram(tmp_path):
    series = adf_series()
    io.save(TiltSeries(series.images[:2], ANGLES[:2], PIXEL_NM, "ADF"), tmp_path / "a.hspy")
    with pytest.raises(ValueError, match="2 tilts, and a tomogram needs three at least"):
        pipeline.process(tmp_path, out=tmp_path / "out")


MALFORMED = {
    "no low loss": (without("c.hspy"), "core-loss spectra without low-loss spectra"),
    "no ADF": (without("a.mrc"), "no ADF images"),
    "a tilt missing": (saved("b.hspy", spectra(0, 200, angles=ANGLES[:-1])), "60 deg is missing in EDS"),
    "mixed shapes": (saved("c.hspy", spectra(-20, 5, shape=(N, N - 4))), r"EELS low-loss are \(24, 20\) pixels"),
    "mixed pixels": (saved("d.hspy", spectra(600, 5, pixel_nm=4.0)), "core-loss is 4 nm and of ADF 4.63 nm"),
    "no angles": (without("a.rawtlt"), r"ADF: tilt angles of a\.mrc: expected 5 angles"),
    "damaged": (lambda place: (place / "a.mrc").write_bytes((place / "a.mrc").read_bytes()[:2000]), "no ADF images"),
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_a_malformed_folder_gives_one_clear_message_before_anything_is_run(folder, tmp_path, kind, capsys):
    spoil, words = MALFORMED[kind]
    spoil(folder)
    with pytest.raises(ValueError, match=words) as caught:
        pipeline.process(folder, out=tmp_path / "out")
    assert "complete the folder, or say in its tritomo.yaml" in str(caught.value)
    assert not (tmp_path / "out").exists()
    assert main(["process", str(folder), "--dry-run"]) == 1
    assert "PROBLEM" in capsys.readouterr().out


def test_what_cannot_be_read_is_not_called_absent_and_the_line_of_the_settings_is_named(folder):
    (folder / "a.rawtlt").unlink()
    lines = pipeline.understand(folder).table().splitlines()
    assert "  ADF             see PROBLEM" in lines
    assert any("set tilt_angles_deg in tritomo.yaml" in line for line in lines)
    (folder / "tritomo.yaml").write_text("files: {adf: a.mrc, eds: absent.hspy}\n")
    understood = pipeline.understand(folder)
    assert "  EDS             see PROBLEM" in understood.table().splitlines()
    assert not any("no EDS" in note for note in understood.notes)


def test_no_pixel_size_is_said(tmp_path):
    io.save(adf_series(), tmp_path / "a.hspy")
    with h5py.File(tmp_path / "a.hspy", "r+") as file:
        file.visititems(lambda _, item: item.attrs.update({"units": ""}) if item.attrs.get("units") == "nm" else None)
    with pytest.raises(ValueError, match=r"ADF: pixel.*pixel_size_nm"):
        pipeline.process(tmp_path, out=tmp_path / "out")
    (tmp_path / "tritomo.yaml").write_text("pixel_size_nm: 4.63\n")
    assert pipeline.understand(tmp_path).problems == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("angles: [1]\n", "tritomo.yaml: expected some of files, titles, tilt_angles_deg.*got angles"),
        ("files: {haadf: a.mrc}\n", "files by adf, eds, low_loss, core_loss, got haadf"),
        ("a: [\n", "tritomo.yaml: expected YAML"),
    ],
)
def test_a_yaml_that_cannot_be_understood_is_an_error(folder, text, words):
    (folder / "tritomo.yaml").write_text(text)
    with pytest.raises(ValueError, match=words):
        pipeline.understand(folder)


def test_what_is_neither_folder_nor_dataset(tmp_path):
    with pytest.raises(ValueError, match=r"source: expected a folder, or a name in data_manifest\.yaml, got 'nothing'"):
        pipeline.process("nothing", out=tmp_path)
    with pytest.raises(ValueError, match="method: expected one of 'best', 'paper'"):
        pipeline.process(tmp_path, out=tmp_path, method="fast")
    io.save(adf_series(), tmp_path / "adf.mrc")
    with pytest.raises(ValueError, match="k_factors: expected one for each of O, Mn, Co, Ni, got O"):
        pipeline.process(tmp_path, out=tmp_path, k_factors={"O": 1.0})


def test_gap_between_tilts_is_said_and_even_steps_are_not(tmp_path):
    steps = np.concatenate([np.arange(-60.0, 1.0, 10.0), np.arange(30.0, 61.0, 10.0)])
    for name, angles in (("gap", steps), ("even", np.arange(-60.0, 61.0, 12.0))):
        folder = tmp_path / name
        folder.mkdir()
        io.save(TiltSeries(np.ones((angles.size, 8, 8)), angles, 4.63, "ADF"), folder / "a.mrc")
        notes = [note for note in pipeline.understand(folder).notes if "gap" in note]
        assert notes == (["a gap from 0 to 30 deg"] if name == "gap" else [])


def test_a_stage_that_is_read_out_anew_for_each_channel_gives_the_same_tilts(folder):
    io.save(spectra(0, 200, angles=ANGLES + 0.003), folder / "b.hspy")
    understood = pipeline.understand(folder)
    assert understood.problems == ()
    np.testing.assert_array_equal(understood.load("eds").tilt_angles_deg, ANGLES)
    io.save(spectra(0, 200, angles=ANGLES + 0.3), folder / "b.hspy")
    assert "tilts differ" in pipeline.understand(folder).problems[0]
    read_anew = ANGLES + 0.003
    read_anew[1] += 0.5
    io.save(spectra(0, 200, angles=read_anew), folder / "b.hspy")
    (problem,) = pipeline.understand(folder).problems
    assert problem.count("deg") == 2, "those alone that have no partner"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("elements: Mn", "elements in tritomo.yaml: expected a list, got 'Mn'"),
        ("elements: [O, Xx]", "a chemical symbol such as 'Mn', got 'Xx'"),
        ("elements: [O, Mn, Mn]", "each element once, got"),
        ("elements: [B, O]", "elements with a line between 350 and 1200 eV, got B"),
        ("beam_energy_kev: abc", "beam_energy_kev in tritomo.yaml"),
        ("pixel_size_nm: -5", "pixel_size_nm in tritomo.yaml: .* above zero"),
        ("files: null", "files: None"),
        ("files: {adf: null}", "a name or names for adf, got None"),
        ("files: {adf: [1]}", r"a name or names for adf, got \[1\]"),
        ("elements: []", r"elements in tritomo.yaml: expected a list, got \[\]"),
    ],
)
def test_values_of_the_yaml_are_checked_before_anything_is_run(folder, line, words):
    (folder / "tritomo.yaml").write_text(line + "\n")
    with pytest.raises(ValueError, match=words):
        pipeline.understand(folder)
