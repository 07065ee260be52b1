import dask.array as da
import numpy as np
import pytest

from tritomo_helpers.containers import SpectrumTiltSeries, TiltSeries, Tomogram


def test_input_stays_writable_and_container_does_not():
    images = np.zeros((2, 3, 4))
    series = TiltSeries(images, [0, 10], 1.0)
    images[0, 0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        series.images[0, 0, 0] = 2


def test_lazy_counts_stay_lazy():
    counts = da.zeros((1, 2, 2, 5), chunks=1)
    assert SpectrumTiltSeries(counts, [0], np.arange(5), 1.0).counts is counts


@pytest.mark.parametrize(
    ("shape", "angles", "pixel", "words"),
    [
        ((2, 3), [0, 1], 1.0, r"3 axes \(tilt, y, x\), got shape \(2, 3\)"),
        ((2, 3, 3), [0, 0], 1.0, "each value once"),
        ((2, 3, 3), [1, 0], 1.0, "sort the data"),
        ((2, 3, 3), [0, 1, 2], 1.0, "expected 2 values"),
        ((2, 3, 3), [0, np.nan], 1.0, "finite"),
        ((0, 3, 3), [], 1.0, "non-empty"),
        ((2, 3, 3), [0, 1], -1.0, "pixel_size_nm"),
    ],
)
def test_bad_tilt_series_is_refused_with_a_remedy(shape, angles, pixel, words):
    with pytest.raises(ValueError, match=words) as caught:
        TiltSeries(np.zeros(shape), angles, pixel)
    assert "To fix:" in str(caught.value)


def test_spectra_need_one_energy_per_channel():
    with pytest.raises(ValueError, match="energy_ev: expected 4 values"):
        SpectrumTiltSeries(np.zeros((1, 2, 2, 4)), [0], [1.0, 2.0], 1.0)


def test_replace_checks_again():
    tomogram = Tomogram(np.zeros((2, 2, 2)), 1.0)
    assert tomogram.replace(quantity="O (at%)").quantity == "O (at%)"
    with pytest.raises(ValueError, match="voxel_size_nm"):
        tomogram.replace(voxel_size_nm=0)


def test_containers_are_printed_in_one_line():
    series = TiltSeries(np.zeros((15, 64, 64), np.float32), np.arange(15), 4.63, "ADF (counts)")
    expected = (
        "TiltSeries(images=float32 15 × 64 × 64, tilt_angles_deg=float64 15, pixel_size_nm=4.63, label='ADF (counts)')"
    )
    assert repr(series) == expected
    assert (
        repr(Tomogram(np.zeros((4, 4, 4)), 4.63, "x"))
        == "Tomogram(values=float64 4 × 4 × 4, voxel_size_nm=4.63, quantity='x')"
    )
