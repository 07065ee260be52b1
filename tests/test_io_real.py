"""Real files, one of every format in the manifest, and what microscopes write."""

import shutil
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from tritomo_helpers import io


def test_real_needle(real):
    path = real("etspy_needle_haadf_raw")["tilt_series"]
    needle = io.load_tilt_series(path, tilt_axis="x")
    assert needle.images.shape == (77, 256, 256)
    assert needle.images.dtype == np.int16
    assert needle.images.min() < 0  # the offset of the detector stays
    assert needle.tilt_angles_deg.tolist() == list(range(-76, 77, 2))
    assert needle.pixel_size_nm == pytest.approx(3.36, rel=1e-6)
    # A needle lies along the tilt axis: it leaves the frame at one end of y, and nowhere along x.
    mean = (needle.images.astype(float) - needle.images.min()).mean(axis=0)
    along_y, along_x = mean.sum(axis=1), mean.sum(axis=0)
    assert max(along_y[0], along_y[-1]) > 0.2 * along_y.max()
    assert max(along_x[0], along_x[-1]) < 0.02 * along_x.max()


def test_real_needle_without_the_side_file_uses_the_header(real, tmp_path):
    path = Path(shutil.copy(real("etspy_needle_haadf_raw")["tilt_series"], tmp_path / "alone.mrc"))
    assert io.load_tilt_series(path).tilt_angles_deg.tolist() == list(range(-76, 77, 2))


def test_real_aligned_needle_and_its_shifts(real):
    path = real("etspy_needle_haadf_aligned")["tilt_series"]
    aligned = io.load_tilt_series(path, tilt_axis="x")
    assert aligned.images.shape == (77, 256, 256)
    assert aligned.tilt_angles_deg.tolist() == list(range(-76, 77, 2))
    shifts = io.load_arrays(path, group="Experiments/__unnamed__/metadata/Tomography/_sig_shifts")["data"]
    assert shifts.shape == (77, 2)


@pytest.mark.acceptance
def test_real_dust_eds_is_lazy_and_its_tilts_come_from_the_names(real):
    files = real("openNCEM_L2083_eds_tilt_10deg")
    paths = [files[role] for role in files if role.startswith("tilt_")]
    spectra = io.load_spectra(paths, signal="EDS")
    assert spectra.counts.shape == (8, 256, 256, 2048)
    assert hasattr(spectra.counts, "dask")
    assert spectra.tilt_angles_deg.tolist() == list(range(-40, 31, 10))
    assert spectra.pixel_size_nm == pytest.approx(13.08, abs=0.01)
    assert spectra.dispersion_ev == pytest.approx(10.003, abs=1e-3)
    total = np.asarray(spectra.counts[4].sum(axis=(0, 1)))
    assert total.sum() / 256**2 == pytest.approx(13.5, abs=0.1)
    # The strongest line below 2 keV is that of a silicate: O K, 525 eV, Mg K, 1254 eV or Si K, 1740 eV.
    low = (spectra.energy_ev > 400) & (spectra.energy_ev < 2000)
    peak = spectra.energy_ev[low][np.argmax(total[low])]
    assert min(abs(peak - line) for line in (525, 1254, 1740)) < 20
    images = io.load_tilt_series(paths)
    assert images.images.shape == (8, 256, 256)
    assert images.tilt_angles_deg.tolist() == spectra.tilt_angles_deg.tolist()
    assert images.label == "HAADF"


def test_real_nmc_line_scan(real):
    files = real("NMC_EELS_linescan_Jia")
    core = io.load_spectra(files["core_loss"], signal="EELS core-loss")
    low = io.load_spectra(files["low_loss"], signal="EELS low-loss")
    for spectra in (core, low):
        assert spectra.counts.shape == (1, 2, 21, 2048)
        assert spectra.pixel_size_nm == pytest.approx(2.046, abs=1e-3)
        assert spectra.dispersion_ev == pytest.approx(0.3, abs=1e-6)
    assert core.energy_ev[0] == pytest.approx(440, abs=1e-3)
    peak = low.energy_ev[np.argmax(low.counts.sum(axis=(0, 1, 2)))]
    assert -3.6 < peak < -2.7  # the zero-loss peak, as the file's own axis has it
    vacuum, bulk = low.counts[0, :, 0].sum(), core.counts[0, :, -1].sum() / core.counts[0, :, 0].sum()
    assert vacuum > 0
    assert bulk > 5  # x = 0 is vacuum
    assert io.load_image(files["survey"]).images.shape == (1, 512, 512)
    assert io.load_image(files["survey"]).pixel_size_nm == pytest.approx(0.324, abs=1e-3)
    assert io.load_image(files["adf"]).images.shape == (1, 2, 21)


def test_real_lsmo_line_scan_gets_a_y_axis_of_length_one(real):
    files = real("LSMO_linescan_dualEELS")
    core = io.load_spectra(files["core_loss"], signal="EELS core-loss")
    assert core.counts.shape == (1, 1, 40, 586)
    assert core.energy_ev[[0, -1]] == pytest.approx([428.5, 721.0])
    assert core.pixel_size_nm == pytest.approx(3.219, abs=1e-3)
    low = io.load_spectra(files["low_loss"], signal="EELS low-loss")
    assert low.energy_ev[np.argmax(low.counts.sum(axis=(0, 1, 2)))] == pytest.approx(3.0, abs=0.6)


def test_real_maps_and_tables(real):
    maps = io.load_arrays(real("Co3O4_Mn3O4_fusion_2D")["maps"])
    assert {name: array.shape for name, array in maps.items()} == dict.fromkeys(("HAADF", "Co", "Mn", "O"), (400, 400))
    assert 0.92 < np.mean(maps["Co"] == 0) < 0.96
    table = io.load_table(real("NMC_charge_discharge_Jia")["cycles"], header_rows=2)
    assert table["1C"]["Capacity (mAh/g)"].max() == pytest.approx(247, abs=0.5)
    assert table["1D"]["Capacity (mAh/g)"].max() == pytest.approx(221, abs=0.5)
    slow = io.load_table(real("NMC111_graphite_discharge_AboutEnergy")["discharge_c20"])
    assert list(slow.columns) == ["Time [s]", "I[A]", "U[V]"]
    charge_ah = -np.trapezoid(slow["I[A]"], slow["Time [s]"]) / 3600
    assert charge_ah == pytest.approx(13.10, abs=0.02)


# --- what microscopes write ----------------------------------------------------------------------------------------


@pytest.fixture
def unpacked(real, tmp_path):
    """Return a function that unpacks a zipped Velox file of the vendor files and returns its path."""

    def unpack(role, name):
        with zipfile.ZipFile(real("vendor_files")[role]) as archive:
            return Path(archive.extract(name, tmp_path))

    return unpack


def test_real_tilts_take_the_angle_of_the_stage_and_not_the_counter(real):
    files = real("vendor_files")
    series = io.load_tilt_series([files[role] for role in ("tilt_1", "tilt_2", "tilt_3")])
    assert series.tilt_angles_deg == pytest.approx([-72, -69, -66], abs=0.01)
    assert series.images.shape == (3, 128, 128)
    assert series.pixel_size_nm == pytest.approx(19.1087, abs=1e-4)


def test_real_velox_file_with_eds_and_dual_eels(unpacked):
    path = unpacked("velox_eels_eds", "example_velox_EELS_EDS.emd")
    eds = io.load_spectra(path, signal="EDS", lazy=True)
    assert hasattr(eds.counts, "dask")
    assert eds.counts.shape == (1, 16, 20, 4096)
    assert int(eds.counts.sum()) == 11093  # as RosettaSciIO 0.15 counts them, with sparse installed
    each = [io.load_spectra(path, signal="EDS", detector=f"UltraX{i}") for i in range(1, 7)]
    assert np.array_equal(sum(one.counts for one in each), np.asarray(eds.counts))
    low = io.load_spectra(path, signal="EELS low-loss", lazy=True)
    assert low.counts.shape == (1, 16, 20, 2048)
    assert low.energy_ev[[0, -1]] == pytest.approx([-21.5026, 324.85], abs=0.01)
    with pytest.raises(ValueError, match=r"0: 'EELS 800 to 1146 eV' .*1: 'EELS 480 to 826 eV'"):
        io.load_spectra(path, signal="EELS core-loss")
    core = io.load_spectra(path, signal="EELS core-loss", title="EELS 480 to 826 eV")
    assert core.energy_ev[0] == pytest.approx(480)
    # 100 recorded counts are dark, and stated: vacuum is at zero, in the file's units of .08 a count.
    assert np.median(core.counts) == pytest.approx(0, abs=1e-5)
    assert np.diff(np.unique(core.counts)).min() == pytest.approx(0.082287, abs=1e-5)
    assert io.load_tilt_series(path).label == "DF-S"
    assert eds.pixel_size_nm == low.pixel_size_nm == io.load_image(path).pixel_size_nm


def test_real_velox_stream_agrees_with_the_spectrum_velox_made_of_it(unpacked):
    path = unpacked("velox_version11", "Test SI 16x16 215 kx.emd")
    eds = io.load_spectra(path, signal="EDS")
    with h5py.File(path) as file:
        sums = sum(group["Data"][:, 0].astype(int) for group in file["Data/Spectrum"].values())
    assert np.array_equal(eds.counts.sum(axis=(0, 1, 2)), sums)
    pruned = unpacked("velox_version11", "Test SI 16x16 ReducedData 215 kx.emd")
    with pytest.raises(ValueError, match="pruned"):
        io.load_spectra(pruned, signal="EDS")


def test_real_dm4_and_bcf_and_a_stack_without_angles(real):
    files = real("vendor_files")
    assert io.load_spectra(files["eels"], signal="EELS core-loss").counts.shape == (1, 2, 2, 2048)
    with pytest.raises(ValueError, match="300 to 2347 eV, does not hold 0 eV"):
        io.load_spectra(files["eels"], signal="EELS low-loss")
    assert io.load_spectra(files["bruker"], signal="EDS").counts.shape == (1, 64, 64, 2048)
    with pytest.raises(ValueError, match="pass tilt_angles_deg, one per image"):
        io.load_tilt_series(files["stack"])
    assert io.load_tilt_series(files["stack"], tilt_angles_deg=[1, 2, 3]).images.shape == (3, 2, 16)
