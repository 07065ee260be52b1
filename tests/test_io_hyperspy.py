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


# --- ETSpy and pyEELSMODEL -----------------------------------------------------------------------------------------


def etspy_stack(**tilts):
    from etspy.base import TomoStack

    stack = TomoStack(chiral_stack(), **tilts)
    for axis in stack.axes_manager.signal_axes:
        axis.units, axis.scale = "nm", 2.0
    return stack


def test_an_etspy_stack_comes_with_its_own_angles(tmp_path):
    stack = etspy_stack(tilts=np.array(TILTS_DEG))
    stack.save(tmp_path / "a.hspy")
    for series in (io.from_hyperspy(stack), io.load_tilt_series(tmp_path / "a.hspy")):
        assert series.tilt_angles_deg.tolist() == TILTS_DEG
        assert np.array_equal(series.images, chiral_stack())
        assert series.pixel_size_nm == 2.0
    again = TiltSeries(chiral_stack(), TILTS_DEG, 2.0, "ADF")
    theirs = etspy_stack(tilts=np.asarray(again.tilt_angles_deg))
    assert np.array_equal(theirs.data, stack.data)
    assert np.array_equal(theirs.tilts.data, stack.tilts.data)


def test_neither_a_count_of_projections_nor_zeros_are_taken_for_degrees(tmp_path):
    stack = etspy_stack()
    stack.save(tmp_path / "a.hspy")
    for load in (lambda: io.from_hyperspy(stack), lambda: io.load_tilt_series(tmp_path / "a.hspy")):
        with pytest.raises(ValueError, match="pass tilt_angles_deg, one per image"):
            load()


@pytest.mark.filterwarnings("ignore:Please import:DeprecationWarning")  # its own import of SciPy
def test_arrays_go_to_pyeelsmodel_and_come_back_as_they_are():
    """A spectrum image is (y, x, energy) there."""
    from pyEELSMODEL.api import MultiSpectrum

    energy_ev = 440 + 0.3 * np.arange(8)
    counts = np.arange(2 * 3 * 8, dtype=np.float32).reshape(1, 2, 3, 8)
    series = SpectrumTiltSeries(counts, [12.5], energy_ev, 2.0, "EELS core-loss")
    theirs = MultiSpectrum.from_numpy(series.counts[0], series.energy_ev)
    back = SpectrumTiltSeries(theirs.multidata[None], [12.5], theirs.energy_axis, 2.0, "EELS core-loss")
    assert np.array_equal(back.counts, series.counts)
    np.testing.assert_allclose(back.energy_ev, energy_ev, rtol=1e-12)  # it keeps offset and dispersion
    signal = io.to_hyperspy(series).inav[:, :, 0]  # its load_hspy reads one spectrum image
    assert np.array_equal(signal.data, series.counts[0])
    assert signal.axes_manager.signal_axes[0].axis == pytest.approx(energy_ev, abs=1e-9)
