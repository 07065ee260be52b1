"""Tilt angles: which of several sources counts, what is no angle, and frames recorded twice."""

import shutil
from pathlib import Path

import h5py
import mrcfile
import numpy as np
import pytest

from tests.helper import TILTS_DEG, chiral_stack
from tritomo_helpers import io
from tritomo_helpers.containers import SpectrumTiltSeries, TiltSeries
from tritomo_helpers.io import _tilt


@pytest.mark.parametrize(
    ("name", "angle"),
    [("-40.bcf", -40), ("0.bcf", 0), ("map_+12.5.dm4", 12.5), ("L2083-K-4_tilt_-7deg.dm3", -7), ("map.dm3", None)],
)
def test_the_angle_is_the_last_number_of_the_name(name, angle):
    assert _tilt.angle_in_name(Path(name)) == angle


def test_a_date_in_the_name_is_not_an_angle():
    assert _tilt.angle_in_name(Path("scan_20240312.dm3")) is None


def test_angles_in_any_order_are_sorted_with_their_images(tmp_path):
    images = chiral_stack()
    io.save(TiltSeries(images, [1, 2, 3, 4], 2.0), tmp_path / "a.mrc")
    (tmp_path / "a.rawtlt").write_text(" 0\n 10\n-10\n 20\n")
    back = io.load_tilt_series(tmp_path / "a.mrc")
    assert back.tilt_angles_deg.tolist() == [-10, 0, 10, 20]
    assert np.array_equal(back.images, images[[2, 0, 1, 3]])


def test_given_angles_win_over_the_side_file(tmp_path):
    io.save(TiltSeries(chiral_stack(), TILTS_DEG, 2.0), tmp_path / "a.mrc")
    assert io.load_tilt_series(tmp_path / "a.mrc", tilt_angles_deg=[0, 1, 2, 3]).tilt_angles_deg.tolist() == [
        0,
        1,
        2,
        3,
    ]


def one_file_per_tilt(folder, angles):
    paths = []
    for angle in angles:
        series = TiltSeries(np.full((1, 3, 4), float(angle)), [0], 2.0, "HAADF")
        io.save(series, folder / f"map_{angle:+d}.hspy")
        paths.append(folder / f"map_{angle:+d}.hspy")
    return paths


def test_one_file_per_tilt_takes_the_angles_from_the_names(tmp_path):
    back = io.load_tilt_series(one_file_per_tilt(tmp_path, [20, -10, 0]))
    assert back.tilt_angles_deg.tolist() == [-10, 0, 20]
    assert back.images[:, 0, 0].tolist() == [-10, 0, 20]
    assert back.label == "HAADF"


def test_spectra_one_file_per_tilt(tmp_path):
    paths = []
    for angle in (30, -5):
        series = SpectrumTiltSeries(np.full((1, 2, 2, 4), angle + 100), [0], np.arange(4), 2.0, "EDS")
        io.save(series, tmp_path / f"{angle}.hspy")
        paths.append(tmp_path / f"{angle}.hspy")
    back = io.load_spectra(paths, signal="EDS")
    assert back.tilt_angles_deg.tolist() == [-5, 30]
    assert back.counts[:, 0, 0, 0].tolist() == [95, 130]


def test_angles_that_do_not_fit(tmp_path):
    io.save(TiltSeries(chiral_stack(), TILTS_DEG, 2.0), tmp_path / "a.mrc")
    with pytest.raises(ValueError, match=r"expected 4 angles, one per image of a\.mrc, got 3"):
        io.load_tilt_series(tmp_path / "a.mrc", tilt_angles_deg=[0, 1, 2])
    (tmp_path / "a.rawtlt").write_text("0\n1\nnan\n2\n")
    with pytest.raises(ValueError, match="NaN"):
        io.load_tilt_series(tmp_path / "a.mrc")
    (tmp_path / "a.rawtlt").write_text("zero\n")
    with pytest.raises(ValueError, match=r"a\.rawtlt: expected one angle per line"):
        io.load_tilt_series(tmp_path / "a.mrc")
    (tmp_path / "a.rawtlt").unlink()
    with pytest.raises(ValueError, match="pass tilt_angles_deg, one per image"):
        io.load_tilt_series(tmp_path / "a.mrc")
    paths = one_file_per_tilt(tmp_path, [0, 10])
    with pytest.raises(ValueError, match="expected 2 angles, one per file, got 1"):
        io.load_tilt_series(paths, tilt_angles_deg=[0])
    nameless = shutil.copy(paths[0], tmp_path / "nameless.hspy")
    with pytest.raises(ValueError, match=r"end of every file name.*got nameless\.hspy"):
        io.load_tilt_series([paths[0], nameless])
    with pytest.raises(ValueError, match="expected at least one file"):
        io.load_tilt_series([])


# --- which of several sources counts -------------------------------------------------------------------------------


def test_the_axis_inside_a_file_wins_over_a_file_beside_it(tmp_path):
    io.save(TiltSeries(chiral_stack(), TILTS_DEG, 2.0), tmp_path / "n.mrc")
    (tmp_path / "n.rawtlt").write_text("31\n0\n-12.5\n-70\n")
    series = io.load_tilt_series(tmp_path / "n.mrc")
    assert np.array_equal(series.images, chiral_stack()[::-1])
    io.save(series, tmp_path / "n.hspy")
    back = io.load_tilt_series(tmp_path / "n.hspy")
    assert back.tilt_angles_deg.tolist() == TILTS_DEG
    assert np.array_equal(back.images, series.images)
    spectra = SpectrumTiltSeries(series.images[..., None], TILTS_DEG, [5.0], 2.0, "EDS")
    io.save(spectra, tmp_path / "n.hspy")
    assert np.array_equal(io.load_spectra(tmp_path / "n.hspy", signal="EDS").counts, spectra.counts)


@pytest.mark.parametrize(
    ("stack", "expected"),
    [("n.mrc", 1), ("n.st", 1), ("n.ali", 2), ("n.rec", 2), ("n_ali.mrc", 2), ("n_preali.mrc", 2)],
)
def test_raw_stacks_take_the_raw_angles_and_aligned_ones_the_refined(tmp_path, stack, expected):
    io.save(TiltSeries(chiral_stack(), TILTS_DEG, 2.0), tmp_path / "x.mrc")
    (tmp_path / "x.mrc").rename(tmp_path / stack)
    (tmp_path / "x.rawtlt").unlink()
    for suffix, step in ((".rawtlt", 1), (".tlt", 2)):
        name = stack if stack.startswith("n_") and suffix == ".rawtlt" else "n.mrc"
        (tmp_path / name).with_suffix(suffix).write_text("".join(f"{i * step}\n" for i in range(4)))
    assert io.load_tilt_series(tmp_path / stack).tilt_angles_deg.tolist() == [i * expected for i in range(4)]


def test_angles_of_the_header_win_and_a_side_file_that_differs_is_named(tmp_path):
    with mrcfile.new(tmp_path / "s.mrc") as file:
        file.set_data(chiral_stack())
        file.voxel_size = 20.0
        records = np.array([[-6000, 7], [-3050, 7], [0, 7], [4125, 7]], dtype="<i2")
        file.set_extended_header(records.reshape(-1).view("V1"))
        file.header.exttyp = b"SERI"
        # Bytes 128 to 131 of the header: 4 bytes per section, which hold tilt and piece.
        file.header.extra2 = np.void(b"\0" * 16 + np.array([4, 3], dtype="<i2").tobytes() + b"\0" * 64)
    assert io.load_tilt_series(tmp_path / "s.mrc").tilt_angles_deg.tolist() == [-60, -30.5, 0, 41.25]
    (tmp_path / "s.rawtlt").write_text("-60.01\n-30.5\n0.02\n41.25\n")
    assert io.load_tilt_series(tmp_path / "s.mrc").tilt_angles_deg[0] == -60
    (tmp_path / "s.rawtlt").write_text("60\n30.5\n0\n-41.25\n")
    with pytest.warns(UserWarning, match=r"s\.rawtlt states 60 deg for image 0 where s\.mrc has -60"):
        assert io.load_tilt_series(tmp_path / "s.mrc").tilt_angles_deg[0] == -60


def test_serialem_writes_one_section_per_image(tmp_path):
    io.save(TiltSeries(chiral_stack(), TILTS_DEG, 2.0), tmp_path / "a.mrc")
    (tmp_path / "a.rawtlt").unlink()
    sections = "".join(f"[ZValue = {z}]\nTiltAngle = {t}\nStagePosition = 1 2\n\n" for z, t in enumerate([3, 1, -2, 0]))
    (tmp_path / "a.mrc.mdoc").write_text(f"PixelSpacing = 20\n\n[T = SerialEM]\n\n{sections}")
    back = io.load_tilt_series(tmp_path / "a.mrc")
    assert back.tilt_angles_deg.tolist() == [-2, 0, 1, 3]
    assert np.array_equal(back.images, chiral_stack()[[2, 3, 1, 0]])
    (tmp_path / "a.mrc.mdoc").write_text(sections.replace("TiltAngle = 1\n", ""))
    with pytest.raises(ValueError, match=r"a\.mrc\.mdoc: expected TiltAngle .* got 3 of 4 sections with one"):
        io.load_tilt_series(tmp_path / "a.mrc")


# --- numbers that are not angles -----------------------------------------------------------------------------------


def stored_at(path, angle, stage_deg=None):
    io.save(TiltSeries(np.full((1, 3, 4), float(angle)), [angle], 2.0, "BF"), path)
    if stage_deg is not None:
        with h5py.File(path, "r+") as file:
            stage = file["Experiments/BF/metadata"].create_group("Acquisition_instrument/TEM/Stage")
            stage.attrs["tilt_alpha"] = stage_deg
            file["Experiments/BF/axis-0"].attrs["offset"] = 0.0
    return path


def test_a_stored_angle_wins_over_a_counter_in_the_name(tmp_path):
    paths = [stored_at(tmp_path / f"BF_00{i}.hspy", angle) for i, angle in ((1, 40), (2, -20), (3, 5))]
    back = io.load_tilt_series(paths)
    assert back.tilt_angles_deg.tolist() == [-20, 5, 40]
    assert back.images[:, 0, 0].tolist() == [-20, 5, 40]


def test_the_stage_counts_unless_it_stood_still(tmp_path):
    paths = [stored_at(tmp_path / f"{angle:+d}deg.hspy", angle, angle + 0.3) for angle in (40, -20)]
    assert io.load_tilt_series(paths).tilt_angles_deg.tolist() == [-19.7, 40.3]
    still = [stored_at(tmp_path / f"still_{angle:+d}.hspy", angle, 0.01 * angle / 40) for angle in (40, -20)]
    assert io.load_tilt_series(still).tilt_angles_deg.tolist() == [-20, 40]


@pytest.mark.parametrize(
    ("names", "angles"),
    [
        (["-40", "0", "30"], [-40, 0, 30]),
        (["0", "10", "20"], [0, 10, 20]),
        (["a_1deg", "a_2deg", "a_3deg"], [1, 2, 3]),
        (["tilt_10", "tilt_12.5", "tilt_15"], [10, 12.5, 15]),
        (["a_+1", "a_+2", "a_+3"], [1, 2, 3]),
        (["BF_001", "BF_002", "BF_003"], None),
        (["tilt_001", "tilt_002", "tilt_003"], None),
        (["1", "2", "3"], None),
        (["scan-1", "scan-2", "scan-3"], None),
        (["map_10", "map_20", "map_30"], None),
        (["a_2024", "a_2025", "a_2026"], None),
    ],
)
def test_names_count_when_they_are_clearly_angles(names, angles):
    paths = [Path(f"{name}.dm4") for name in names]
    if angles is None:
        with pytest.raises(ValueError, match=r"clearly an angle.*To fix: pass tilt_angles_deg, one per file"):
            _tilt.angles_in_names(paths)
    else:
        assert _tilt.angles_in_names(paths).tolist() == angles


# --- units of the tilt axis ----------------------------------------------------------------------------------------


def with_tilt_axis(path, **attributes):
    io.save(TiltSeries(chiral_stack(), [-10.0, 0.0, 10.0, 20.0], 2.0, "ADF"), path)
    with h5py.File(path, "r+") as file:
        file["Experiments/ADF/axis-0"].attrs.update(attributes)
    return path


@pytest.mark.parametrize(
    ("units", "scale"),
    [("mrad", np.pi / 0.18), ("rad", np.pi / 180), ("°", 1), ("degrees", 1), ("arcminute", 60)],
)
def test_the_tilt_axis_is_converted_to_degrees(tmp_path, units, scale):
    path = with_tilt_axis(tmp_path / "a.hspy", units=units, offset=-10 * scale, scale=10 * scale)
    assert io.load_tilt_series(path).tilt_angles_deg == pytest.approx([-10, 0, 10, 20])


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"units": "", "offset": 0.0, "scale": 1.0}, r"expected 4 angles in a\.rawtlt.* got axes tilt \(no units\)"),
        ({"units": "s"}, r"expected units of an angle .* got 'tilt' in 's'"),
        ({"scale": 100.0}, "expected angles from -180 to 180 deg, got 290"),
        ({"name": "frame", "units": ""}, "pass tilt_angles_deg, one per image"),
    ],
)
def test_an_axis_that_states_no_angle_is_refused(tmp_path, attributes, words):
    path = with_tilt_axis(tmp_path / "a.hspy", **attributes)
    with pytest.raises(ValueError, match=words):
        io.load_tilt_series(path)
    assert io.load_tilt_series(path, tilt_angles_deg=TILTS_DEG).tilt_angles_deg.tolist() == TILTS_DEG


def test_a_tilt_axis_without_units_is_taken_for_degrees_aloud(tmp_path):
    path = with_tilt_axis(tmp_path / "a.hspy", units="")
    with pytest.warns(UserWarning, match=r"'tilt' from -10 to 20 has no units and is taken to be in degrees"):
        assert io.load_tilt_series(path).tilt_angles_deg.tolist() == [-10, 0, 10, 20]


def test_given_angles_are_degrees_within_half_a_turn(tmp_path):
    io.save(TiltSeries(chiral_stack(), TILTS_DEG, 2.0), tmp_path / "a.mrc")
    with pytest.raises(ValueError, match="tilt_angles_deg: expected angles from -180 to 180 deg, got -1222"):
        io.load_tilt_series(tmp_path / "a.mrc", tilt_angles_deg=[-1222, 0, 1, 2])


# --- frames recorded more than once --------------------------------------------------------------------------------

PROTOCOL_DEG = [0, -30, 0, 30, 0]
"""Three frames without tilt in one stack, to see what the beam has done."""


def test_repeated_frames_are_taken_once_averaged_or_kept(tmp_path):
    images = np.arange(5 * 2 * 3, dtype=np.int16).reshape(5, 2, 3) ** 2
    io.save(TiltSeries(images, np.arange(5), 2.0), tmp_path / "a.mrc")
    (tmp_path / "a.rawtlt").write_text("".join(f"{angle}\n" for angle in PROTOCOL_DEG))

    def load(**options):
        return io.load_tilt_series(tmp_path / "a.mrc", **options)

    with pytest.warns(UserWarning, match=r"a\.mrc has repeated frames \(3 at 0 deg\): the first of each is taken"):
        default = load()
    first = load(repeats="first")
    assert default.tilt_angles_deg.tolist() == first.tilt_angles_deg.tolist() == [-30, 0, 30]
    assert np.array_equal(default.images, images[[1, 0, 3]])
    mean = load(repeats="mean")
    assert mean.tilt_angles_deg.tolist() == [-30, 0, 30]
    assert mean.images[1] == pytest.approx((images[0] + images[2] + images[4]) / 3)
    kept = load(repeats="keep")
    assert kept.tilt_angles_deg == pytest.approx([-30, 0, 0, 0, 30], abs=1e-5)
    assert np.array_equal(kept.images, images[[1, 0, 2, 4, 3]])
    with pytest.raises(ValueError, match="repeats: expected one of 'first', 'mean', 'keep'"):
        load(repeats="last")


@pytest.mark.parametrize("lazy", [False, True])
def test_repeated_spectra_too(tmp_path, lazy):
    counts = np.arange(5 * 1 * 2 * 4, dtype=np.uint16).reshape(5, 1, 2, 4)
    io.save(SpectrumTiltSeries(counts, np.arange(5), np.arange(4), 2.0, "EDS"), tmp_path / "s.hspy")
    given = {"signal": "EDS", "tilt_angles_deg": PROTOCOL_DEG, "lazy": lazy}
    mean = io.load_spectra(tmp_path / "s.hspy", repeats="mean", **given)
    assert mean.counts.dtype == np.float32
    assert np.asarray(mean.counts[1]) == pytest.approx(counts[[0, 2, 4]].mean(axis=0))
    first = io.load_spectra(tmp_path / "s.hspy", repeats="first", **given)
    assert np.array_equal(np.asarray(first.counts), counts[[1, 0, 3]])
    assert hasattr(first.counts, "dask") == lazy
    assert io.load_spectra(tmp_path / "s.hspy", repeats="keep", **given).n_tilts == 5
