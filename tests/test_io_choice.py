"""Which array of a file is meant, what it can be taken for, on which axes, and files of one series that differ."""

import h5py
import mrcfile
import numpy as np
import pytest
import tifffile

from tests.helper import TILTS_DEG, chiral_stack
from tritomo_helpers import io
from tritomo_helpers.containers import SpectrumTiltSeries, TiltSeries, Tomogram


def test_images_where_spectra_are_wanted_and_the_reverse(tmp_path):
    io.save(TiltSeries(chiral_stack(), TILTS_DEG, 2.0, "ADF"), tmp_path / "a.hspy")
    with pytest.raises(ValueError, match=r"expected an array with an energy axis.*no energy axis in ADF \(4, 5, 6\)"):
        io.load_spectra(tmp_path / "a.hspy", signal="EDS")
    io.save(SpectrumTiltSeries(np.ones((1, 2, 2, 4)), [0], np.arange(4), 2.0, "EDS"), tmp_path / "s.hspy")
    with pytest.raises(ValueError, match="expected one image or stack, got no image"):
        io.load_image(tmp_path / "s.hspy")
    with pytest.raises(ValueError, match="expected one EELS array, got 'EDS'"):
        io.load_spectra(tmp_path / "s.hspy", signal="EELS")
    with pytest.raises(ValueError, match="signal: expected one of 'EDS'"):
        io.load_spectra(tmp_path / "s.hspy", signal="XRD")
    with pytest.raises(ValueError, match=r"expected 1 angles.*got 2|expected 4 angles"):
        io.load_spectra(tmp_path / "s.hspy", signal="EDS", tilt_angles_deg=[0, 1])
    with pytest.raises(ValueError, match="tilt_axis: expected one of 'y', 'x'"):
        io.load_tilt_series(tmp_path / "a.hspy", tilt_axis="z")


def test_energy_axes_of_several_files_must_agree(tmp_path):
    for angle, offset in ((0, 0.0), (10, 5.0)):
        series = SpectrumTiltSeries(np.ones((1, 2, 2, 4)), [0], np.arange(4) + offset, 2.0, "EDS")
        io.save(series, tmp_path / f"{angle}.hspy")
    with pytest.raises(ValueError, match=r"expected the energy axis of 0\.hspy \(0 to 3 eV\), got 5 to 8 eV"):
        io.load_spectra([tmp_path / "0.hspy", tmp_path / "10.hspy"], signal="EDS")


def test_no_scale_and_uneven_pixels_are_refused_until_one_is_given(tmp_path):
    io.save(TiltSeries(chiral_stack(), TILTS_DEG, 2.0), tmp_path / "a.hspy")
    with h5py.File(tmp_path / "a.hspy", "r+") as file:
        (group,) = file["Experiments"].values()
        group["axis-1"].attrs["scale"] = 3.0
    with pytest.raises(ValueError, match="expected square pixels, got 3 x 2 nm"):
        io.load_tilt_series(tmp_path / "a.hspy")
    with h5py.File(tmp_path / "a.hspy", "r+") as file:
        (group,) = file["Experiments"].values()
        group["axis-1"].attrs["units"] = "<undefined>"
    with pytest.raises(ValueError, match=r"expected image axes in nm.*pass pixel_size_nm"):
        io.load_tilt_series(tmp_path / "a.hspy")
    assert io.load_tilt_series(tmp_path / "a.hspy", pixel_size_nm=2.5).pixel_size_nm == 2.5


# --- units and names of axes ---------------------------------------------------------------------------------------


def edited(path, obj, where, **attributes):
    """Save and change attributes of one axis of the only signal."""
    io.save(obj, path)
    with h5py.File(path, "r+") as file:
        (group,) = file["Experiments"].values()
        group[where].attrs.update(attributes)
    return path


def eels(energy_ev, *, label="EELS"):
    energy_ev = np.asarray(energy_ev, dtype=float)
    counts = np.arange(2 * 3 * energy_ev.size, dtype=np.uint16).reshape(1, 2, 3, -1)
    return SpectrumTiltSeries(counts, [0], energy_ev, 2.0, label)


@pytest.mark.parametrize(("units", "factor"), [("meV", 1e-3), ("keV", 1e3), ("eV", 1.0), ("MeV", 1e6)])
def test_energies_are_converted_to_ev(tmp_path, units, factor):
    path = edited(tmp_path / "s.hspy", eels(np.arange(8) - 2), "axis-3", units=units)
    assert io.load_spectra(path, signal="EELS").energy_ev == pytest.approx((np.arange(8) - 2) * factor)


@pytest.mark.parametrize("units", ["mev", "", "channel", "nm"])
def test_an_energy_axis_in_no_units_of_energy_is_refused(tmp_path, units):
    path = edited(tmp_path / "s.hspy", eels(np.arange(8)), "axis-3", units=units)
    with pytest.raises(ValueError, match=r"expected units of an energy .*, got 'Energy loss' in .*calibrate the axis"):
        io.load_spectra(path, signal="EELS")
    assert io.describe(path)[0].role == ""


@pytest.mark.parametrize(
    ("units", "size_nm"),
    [("n_m", 2), ("[n_m]", 2), ("Å", 0.2), ("\u212b", 0.2), ("um", 2000), ("μm", 2000), ("m", 2e9), ("microns", 2000)],
)
def test_lengths_are_converted_to_nm(tmp_path, units, size_nm):
    path = tmp_path / "a.hspy"
    io.save(TiltSeries(chiral_stack(), TILTS_DEG, 2.0), path)
    with h5py.File(path, "r+") as file:
        (group,) = file["Experiments"].values()
        group["axis-1"].attrs["units"] = group["axis-2"].attrs["units"] = units
    assert io.load_tilt_series(path).pixel_size_nm == pytest.approx(size_nm)


def test_a_descending_energy_axis_is_turned_round_with_its_counts(tmp_path):
    series = eels([1, 2, 3, 4])
    path = edited(tmp_path / "s.hspy", series, "axis-3", offset=4.0, scale=-1.0)
    back = io.load_spectra(path, signal="EELS")
    assert back.energy_ev.tolist() == [1, 2, 3, 4]
    assert np.array_equal(back.counts, series.counts[..., ::-1])


def berkeley(path, data, **dimensions):
    """Write an EMD file of NCEM's kind: dimensions as name=(units, values), in the order of the array."""
    with h5py.File(path, "w") as file:
        file.attrs.update({"version_major": 0, "version_minor": 2})
        group = file.create_group("data/stack")
        group.attrs["emd_group_type"] = 1
        group["data"] = data
        for i, (name, (units, values)) in enumerate(dimensions.items(), 1):
            dimension = group.create_dataset(f"dim{i}", data=np.asarray(values, dtype=float))
            dimension.attrs.update({"name": name, "units": units})
    return path


@pytest.mark.parametrize("order", [("angles", "y", "x"), ("x", "y", "angles"), ("y", "x", "angles")])
def test_axes_of_a_tilt_series_are_ordered_by_their_names(tmp_path, order):
    known = {"angles": ("[deg]", TILTS_DEG), "y": ("[n_m]", 2 * np.arange(5)), "x": ("[n_m]", 2 * np.arange(6))}
    data = chiral_stack().transpose([("angles", "y", "x").index(name) for name in order])
    path = berkeley(tmp_path / "a.emd", data, **{name: known[name] for name in order})
    back = io.load_tilt_series(path)
    assert np.array_equal(back.images, chiral_stack())
    assert (back.tilt_angles_deg.tolist(), back.pixel_size_nm) == (TILTS_DEG, 2.0)
    with pytest.raises(ValueError, match=r"expected a volume \(z, y, x\), got a tilt series"):
        io.load_tomogram(path)


def test_axes_of_a_volume_and_of_spectra_too(tmp_path):
    steps = {name: ("[n_m]", 2 * np.arange(n)) for name, n in (("x", 6), ("y", 5), ("z", 4))}
    path = berkeley(tmp_path / "v.emd", chiral_stack().transpose(2, 1, 0), **steps)
    assert np.array_equal(io.load_tomogram(path).values, chiral_stack())
    with pytest.raises(ValueError, match=r"expected images at several tilts, got a volume .*load_tomogram"):
        io.load_tilt_series(path, tilt_angles_deg=TILTS_DEG)
    energy = {"energy": ("[eV]", 100 + np.arange(4)), "x": steps["x"], "y": steps["y"]}
    path = berkeley(tmp_path / "s.emd", chiral_stack().transpose(0, 2, 1), **energy)
    assert np.array_equal(io.load_spectra(path, signal="EELS").counts[0], chiral_stack().transpose(1, 2, 0))


# --- what kind of signal -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("signal", "energy_ev", "label", "fact"),
    [
        ("EELS low-loss", 300 + np.arange(8), "EELS", "its energy axis, 300 to 307 eV, does not hold 0 eV"),
        ("EELS core-loss", np.arange(8) - 3, "EELS", "its energy axis, -3 to 4 eV, holds 0 eV"),
        ("EDS", np.arange(8), "EELS", "EELS spectra by its signal type, 0 to 7 eV"),
        ("EELS", 10 * np.arange(8), "EDS", "EDS spectra by its signal type, 0 to 70 eV"),
        ("EDS", np.arange(8), "", ""),
    ],
)
def test_spectra_are_not_relabeled(tmp_path, signal, energy_ev, label, fact):
    io.save(eels(energy_ev, label=label), tmp_path / "s.hspy")
    if fact:
        with pytest.raises(ValueError, match=f"expected one {signal} array, got .*{fact}"):
            io.load_spectra(tmp_path / "s.hspy", signal=signal)
        signal = label
    assert io.load_spectra(tmp_path / "s.hspy", signal=signal).label == signal


@pytest.mark.parametrize("suffix", [".mrc", ".hspy"])
def test_volumes_and_tilt_series_are_not_taken_for_each_other(tmp_path, suffix):
    series, volume = tmp_path / f"t{suffix}", tmp_path / f"v{suffix}"
    io.save(TiltSeries(chiral_stack(), TILTS_DEG, 2.0), series)
    io.save(Tomogram(chiral_stack(), 2.0), volume)
    with pytest.raises(ValueError, match=r"expected a volume \(z, y, x\), got a tilt series"):
        io.load_tomogram(series)
    with pytest.raises(ValueError, match="expected images at several tilts, got a volume"):
        io.load_tilt_series(volume, tilt_angles_deg=TILTS_DEG)


def test_a_foreign_stack_with_angles_beside_it_is_no_volume_but_a_reconstruction_is(tmp_path):
    with mrcfile.new(tmp_path / "a.mrc") as file:
        file.set_data(chiral_stack())
        file.voxel_size = 20.0
    assert io.load_tomogram(tmp_path / "a.mrc").voxel_size_nm == pytest.approx(2.0)
    (tmp_path / "a.tlt").write_text("0\n1\n2\n3\n")
    with pytest.raises(ValueError, match=r"got a tilt series, by the 4 angles in a\.tlt"):
        io.load_tomogram(tmp_path / "a.mrc")
    (tmp_path / "a.mrc").rename(tmp_path / "a.rec")
    assert io.load_tomogram(tmp_path / "a.rec").values.shape == (4, 5, 6)


@pytest.mark.parametrize(("data", "words"), [("colors", "R"), ("complex", "complex64")])
def test_what_has_no_one_number_per_pixel_is_refused(tmp_path, data, words):
    if data == "colors":
        path = tmp_path / "a.tif"
        tifffile.imwrite(path, np.zeros((4, 5, 3), np.uint8))
    else:
        path = berkeley(tmp_path / "a.emd", np.ones((4, 5), np.complex64), y=("nm", range(4)), x=("nm", range(5)))
    with pytest.raises(ValueError, match=f"expected one number per pixel, got .*{words}"):
        io.load_image(path)


# --- several arrays, several files ---------------------------------------------------------------------------------


def merged(path, *parts):
    """Put the signals of several hspy files into one."""
    with h5py.File(path, "w") as file:
        file.create_group("Experiments")
        for i, part in enumerate(parts):
            io.save(part, path.with_name("part.hspy"))
            with h5py.File(path.with_name("part.hspy")) as other:
                (group,) = other["Experiments"].values()
                other.copy(group, file["Experiments"], name=f"signal-{i}")
    return path


def test_one_of_several_arrays_is_named_by_title_or_index(tmp_path):
    maps = [TiltSeries(chiral_stack()[i : i + 1], [0], 2.0, name) for i, name in enumerate(("O", "Mn", "O"))]
    path = merged(
        tmp_path / "m.hspy", *maps, eels(np.arange(4) - 1), eels(500 + np.arange(4)), eels(850 + np.arange(4))
    )
    with pytest.raises(
        ValueError, match=r"got 0: 'O' \(1, 5, 6\), 1: 'Mn' .*2: 'O 2' .*name one with title= or index="
    ):
        io.load_image(path)
    for chosen in ({"title": "O 2"}, {"index": 2}, {"index": -1}):
        assert np.array_equal(io.load_image(path, **chosen).images[0], chiral_stack()[2])
    assert io.load_image(path, index=1).label == "Mn"
    for wrong in ({"title": "Co"}, {"index": 3}, {"title": "O", "index": 1}):
        with pytest.raises(ValueError, match="expected one image or stack called"):
            io.load_image(path, **wrong)
    assert io.load_spectra(path, signal="EELS low-loss").energy_ev[0] == -1
    with pytest.raises(ValueError, match=r"expected one EELS core-loss array, got 0: .*1: "):
        io.load_spectra(path, signal="EELS core-loss")
    assert io.load_spectra(path, signal="EELS core-loss", index=1).energy_ev[0] == 850


def test_the_dark_field_image_is_the_default(tmp_path):
    images = [TiltSeries(chiral_stack()[:1] + i, [0], 2.0, name) for i, name in enumerate(("BF", "DF-S", "HAADF"))]
    assert io.load_image(merged(tmp_path / "a.hspy", *images)).label == "HAADF"
    assert io.load_image(merged(tmp_path / "b.hspy", *images[:2])).label == "DF-S"


@pytest.mark.parametrize(
    ("shape", "size_nm", "words"),
    [
        ((1, 5, 6), 3.0, r"expected the pixel size of a\.hspy \(2 x 2 nm\), got 3 x 3 nm"),
        ((1, 5, 7), 2.0, r"expected shape \(5, 6\) as in a\.hspy, got \(5, 7\)"),
    ],
)
def test_images_of_one_series_are_alike(tmp_path, shape, size_nm, words):
    io.save(TiltSeries(np.ones((1, 5, 6)), [0], 2.0), tmp_path / "a.hspy")
    io.save(TiltSeries(np.ones(shape), [10], size_nm), tmp_path / "b.hspy")
    with pytest.raises(ValueError, match=rf"file b\.hspy: {words}"):
        io.load_tilt_series([tmp_path / "a.hspy", tmp_path / "b.hspy"])


def test_spectra_of_one_series_share_their_pixel_size(tmp_path):
    io.save(eels([1, 2, 3]).replace(tilt_angles_deg=[10]), tmp_path / "a.hspy")
    io.save(eels([1, 2, 3]).replace(pixel_size_nm=2.5), tmp_path / "b.hspy")
    with pytest.raises(ValueError, match=r"expected the pixel size of a\.hspy \(2 x 2 nm\), got 2\.5 x 2\.5 nm"):
        io.load_spectra([tmp_path / "a.hspy", tmp_path / "b.hspy"], signal="EELS")
