"""Sharp images, channels recorded in another way, and what an estimate says of its images."""

import numpy as np
import pytest
from scipy import ndimage

from tests.ellipsoids import series
from tritomo_helpers import alignment, tilt_series
from tritomo_helpers.alignment import _warp
from tritomo_helpers.containers import TiltSeries


def blocks_at(shift, n=48, fine=20):
    """An image of sharp blocks, averaged over its pixels, moved by whole parts of a pixel."""
    image = np.zeros((n * fine, n * fine))
    rng = np.random.default_rng(6)
    for _ in range(30):
        y, x = rng.integers(8 * fine, 36 * fine, 2)
        height, width = rng.integers(fine // 2, 6 * fine, 2)
        image[y : y + height, x : x + width] += rng.uniform(0.5, 1.5)
    moved = np.roll(image, np.round(np.array(shift) * fine).astype(int), axis=(0, 1))
    return moved.reshape(n, fine, n, fine).mean(axis=(1, 3))


@pytest.mark.parametrize("shift", [(0.5, 0.5), (2.55, -3.45)])
def test_half_a_pixel_of_sharp_images_is_found(shift):
    found = _warp.subpixel_shift(blocks_at((0, 0)), blocks_at(shift))
    assert np.abs(found - shift).max() < 0.05


def speckle_at(shift, n=32):
    """White noise moved in Fourier space: as sharp as pixels allow, but for the Nyquist frequency, which stays."""
    image = np.random.default_rng(7).normal(size=(1, n, n))
    return tilt_series.apply_shifts(series(image, [0.0]), [shift]).images[0]


@pytest.mark.parametrize("shift", [(0.5, 0.5), (0.45, -3.55)])
def test_half_a_pixel_of_white_noise_is_found(shift):
    assert np.abs(_warp.subpixel_shift(speckle_at((0, 0)), speckle_at(shift)) - shift).max() < 0.05


# --- a channel that was not recorded like the aligned one ----------------------------------------------------------


def binned(series, n):
    t, y, x = series.images.shape
    images = np.asarray(series.images).reshape(t, y // n, n, x // n, n).mean(axis=(2, 4))
    return series.replace(images=images, pixel_size_nm=series.pixel_size_nm * n)


@pytest.fixture(scope="module")
def recorded():
    """A smooth spot that wanders, on 64 x 64 pixels, with the alignment that brings it back."""
    y, x = np.mgrid[-32:32, -32:32]
    shifts = np.array([[0.0, 0.0], [3.0, -5.0], [-4.0, 2.0]])
    images = np.stack([np.exp(-((y + dy) ** 2 + (x + dx) ** 2) / 72) for dy, dx in shifts])
    series = TiltSeries(images, [-30.0, 0.0, 30.0], 2.0, "ADF")
    known = alignment.Alignment(shifts, series.tilt_angles_deg, pixel_size_nm=2.0, image_shape=(64, 64))
    return series, known


@pytest.mark.parametrize("n", [2, 4])
def test_a_binned_channel_ends_on_the_tilt_axis(recorded, n):
    """Index N // 2 of the bins, which is not where the bins of an aligned series have it: half a raw pixel, for two."""
    series, known = recorded
    aligned = alignment.apply(binned(series, n), known)
    for image in aligned.images:
        center = np.array([(image * grid).sum() / image.sum() for grid in np.indices(image.shape)])
        np.testing.assert_allclose(center, 32 // n, atol=0.01)
    center = np.array(ndimage.center_of_mass(binned(alignment.apply(series, known), n).images[0]))
    np.testing.assert_allclose(center, 32 // n - (n - 1) / (2 * n), atol=0.01)
    unscaled = alignment.apply(binned(series, n), known.__class__(known.shifts_px, known.tilt_angles_deg))
    assert np.linalg.norm(unscaled.images - aligned.images) > 0.3 * np.linalg.norm(aligned.images)


@pytest.mark.parametrize("change", [{"pixel_size_nm": 4.0}, {"images": np.ones((3, 32, 32))}])
def test_another_field_of_view_is_refused_with_both(recorded, change):
    series, known = recorded
    with pytest.raises(ValueError, match=r"64 x 64 pixels of 2 nm, got .* pixels of .*if the channel was binned"):
        alignment.apply(series.replace(**change), known)


def test_angles_of_one_scan_may_differ_by_what_a_stage_reads_out(recorded):
    series, known = recorded
    near = series.replace(tilt_angles_deg=np.add(series.tilt_angles_deg, [0.004, -0.03, 0.02]))
    assert np.array_equal(alignment.apply(near, known).images, alignment.apply(series, known).images)
    with pytest.raises(ValueError, match=r"tilt 1 at 0 deg, got 0\.07 deg there"):
        alignment.apply(series.replace(tilt_angles_deg=[-30, 0.07, 30]), known)


def particle_series(background=0.0, sign=1.0):
    y, x = np.mgrid[-16:16, -16:16]
    images = [np.clip(64 - y**2 - (x - dx) ** 2, 0, None) ** 0.5 for dx in (0, 1, -1, 2, 0)]
    noise = np.random.default_rng(0).normal(0, 0.05, (5, 32, 32))
    return TiltSeries(background + sign * np.array(images) + noise, [-40, -20, 0, 20, 40], 1.0, "ADF")


def test_an_estimate_knows_the_images_it_was_made_from():
    estimate = alignment.estimate(particle_series())
    assert (estimate.pixel_size_nm, estimate.image_shape) == (1.0, (32, 32))


def test_hot_pixels_are_named_and_their_cleaning_works():
    series = particle_series()
    images = np.array(series.images)
    images[:, 3, 5] = 4 * images.max()
    with pytest.raises(ValueError, match=r"at -40 deg: .*hot pixels at \(y, x\) = \(3, 5\).*remove_hot_pixels"):
        alignment.estimate(series.replace(images=images))
    cleaned = tilt_series.remove_hot_pixels(series.replace(images=images))
    assert np.count_nonzero(cleaned.images != images) == 5
    assert alignment.estimate(cleaned).shifts_px == pytest.approx(alignment.estimate(series).shifts_px, abs=0.02)
    assert np.array_equal(tilt_series.remove_hot_pixels(series).images, series.images)


def test_bright_field_is_to_be_inverted():
    series = particle_series(background=20.0, sign=-1.0)
    with pytest.raises(ValueError, match=r"got a dark specimen on a bright background.*invert the contrast"):
        alignment.estimate(series)
    inverted = series.replace(images=series.images.max() - series.images)
    assert alignment.estimate(inverted).extended == ""
