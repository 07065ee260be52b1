"""HyperSpy signals and arrays of other packages to containers and back."""

import dask.array as da
import numpy as np
import pytest

from tests.helper import TILTS_DEG, chiral_stack
from tritomo_helpers import io
from tritomo_helpers.containers import SpectrumTiltSeries, TiltSeries


def test_a_signal_has_the_axes_of_the_container():
    counts = da.zeros((3, 4, 5, 16), chunks=(1, 4, 5, 16), dtype=np.uint16)
    signal = io.to_hyperspy(
        SpectrumTiltSeries(counts, [-10, 0, 25], 600 + 0.15 * np.arange(16), 4.63, "EELS core-loss")
    )
    assert type(signal).__name__ == "LazyEELSSpectrum"
    assert [axis.name for axis in signal.axes_manager._axes] == ["tilt", "y", "x", "Energy loss"]
    energy = signal.axes_manager.signal_axes[0]
    assert (energy.units, energy.offset) == ("eV", 600)
    assert energy.scale == pytest.approx(0.15)
    assert signal.axes_manager["x"].axis[5 // 2] == 0
    assert list(signal.axes_manager["tilt"].axis) == [-10, 0, 25]
    eds = io.to_hyperspy(SpectrumTiltSeries(np.zeros((1, 2, 2, 8)), [0], 10.0 * np.arange(8), 4.63, "EDS"))
    assert type(eds).__name__ == "EDSTEMSpectrum"
    assert eds.axes_manager.signal_axes[0].units == "keV"
    assert eds.axes_manager.signal_axes[0].axis[-1] == pytest.approx(0.07)
    # eXSpy would fill in a detector at 35 degrees; nothing is better than something wrong.
    assert not eds.metadata.has_item("Acquisition_instrument")
    images = io.to_hyperspy(TiltSeries(np.zeros((2, 4, 5)), [0, 10], 4.63, "ADF"))
    assert (type(images).__name__, images.metadata.General.title) == ("Signal2D", "ADF")
    with pytest.raises(TypeError, match="expected a TiltSeries, SpectrumTiltSeries or Tomogram, got ndarray"):
        io.to_hyperspy(np.zeros(3))


@pytest.mark.parametrize("signal", ["EDS", "EELS low-loss"])
def test_spectra_go_to_hyperspy_and_back(signal):
    counts = np.arange(3 * 2 * 4 * 8).reshape(3, 2, 4, 8)
    series = SpectrumTiltSeries(counts, [-10, 0, 25], 100.0 + 10 * np.arange(8), 4.63, signal)
    back = io.from_hyperspy(io.to_hyperspy(series))
    assert np.array_equal(back.counts, counts)
    assert back.energy_ev == pytest.approx(series.energy_ev)
    assert back.tilt_angles_deg.tolist() == [-10, 0, 25]
    assert (back.pixel_size_nm, back.label) == (pytest.approx(4.63), signal)


def test_images_go_to_hyperspy_and_back():
    signal = io.to_hyperspy(TiltSeries(chiral_stack(), TILTS_DEG, 4.63, "ADF"))
    back = io.from_hyperspy(signal, label="HAADF")
    assert np.array_equal(back.images, chiral_stack())
    assert (back.tilt_angles_deg.tolist(), back.label) == (TILTS_DEG, "HAADF")
    signal.axes_manager["x"].units = signal.axes_manager["y"].units = "apples"
    with pytest.raises(ValueError, match="pass pixel_size_nm"):
        io.from_hyperspy(signal)


def test_hyperspy_opens_what_was_saved(tmp_path):
    import hyperspy.api as hs

    io.save(TiltSeries(chiral_stack(), TILTS_DEG, 2.0, "ADF"), tmp_path / "a.hspy")
    signal = hs.load(tmp_path / "a.hspy")
    assert np.array_equal(signal.data, chiral_stack())
    assert list(signal.axes_manager.navigation_axes[0].axis) == TILTS_DEG
    # And what HyperSpy saves again still reads here.
    signal.save(tmp_path / "b.hspy")
    back = io.load_tilt_series(tmp_path / "b.hspy")
    assert np.array_equal(back.images, chiral_stack())
    assert back.tilt_angles_deg.tolist() == TILTS_DEG
