"""Situations that a reconstruction must survive: turned, mirrored, cut and rescaled data, whole circles, empty rows."""

import numpy as np
import pytest

from tests.helper import relative_error
from tritomo_helpers import metrics, tomography
from tritomo_helpers.containers import TiltSeries, Tomogram
from tritomo_helpers.projection import Projector
from tritomo_helpers.tomography.wbp import angle_shares

ANGLES = np.arange(-70.0, 71.0, 10.0)
QUICK = {
    "wbp": {},
    "sirt": {"n_iterations": 20},
    "sart": {"n_iterations": 10},
    "cgls": {"n_iterations": 8},
    "genfire": {"oversampling": 2, "n_iterations": 60},
    "tv": {"weight": 3e-3, "supersampling": 1, "n_iterations": 40},
}
# Total variation takes differences to one side and SART goes from tilt to tilt: mirrored data, not quite the mirror.
ALIKE = dict.fromkeys(QUICK, 0.002) | {"sart": 0.01, "tv": 0.03}


def chiral(n):
    """Blocks without any symmetry, on an odd grid: turns and mirrors keep index n // 2 in place."""
    volume = np.zeros((n, 8, n), dtype=np.float32)
    volume[5:13, 2:6, 7:12] = 1.0
    volume[10:15, 3:7, 4:8] = 0.6
    volume[4:6, 1:3, 12:15] = 0.8
    return volume


def series_of(volume, angles=ANGLES):
    projector = Projector(angles, (volume.shape[0], volume.shape[2]))
    return TiltSeries(projector.forward(volume), angles, 4.63)


def run(series, method, **options):
    return tomography.reconstruct(series, method=method, **QUICK[method], **options).tomogram.values


@pytest.fixture(scope="module")
def truth():
    return chiral(19)


@pytest.fixture(scope="module")
def series(truth):
    return series_of(truth)


@pytest.mark.parametrize("method", tomography.METHODS)
def test_a_volume_turned_by_90_degrees_is_seen_at_angles_plus_90(method, truth, series):
    # At t + 90 the beam runs along (cos t, 0, -sin t): what lay along z lies along x, what lay along x along -z.
    turned = np.ascontiguousarray(truth[:, :, ::-1].transpose(2, 1, 0))
    seen = series_of(turned, ANGLES + 90)
    np.testing.assert_allclose(seen.images, series.images, atol=1e-4)
    back = run(seen, method)[::-1].transpose(2, 1, 0)
    assert relative_error(back, run(series, method)) < ALIKE[method]
    other = run(TiltSeries(series.images, ANGLES - 90, 4.63), method)[::-1].transpose(2, 1, 0)
    assert relative_error(other, run(series, method)) > 0.5


@pytest.mark.parametrize("method", tomography.METHODS)
def test_a_mirrored_detector_with_reversed_angles_mirrors_the_volume(method, series):
    # x to -x at angle -t: (sin t, cos t) and (cos t, -sin t) mirrored.
    mirrored = TiltSeries(series.images[::-1, :, ::-1], -ANGLES[::-1], 4.63)
    assert relative_error(run(mirrored, method)[:, :, ::-1], run(series, method)) < ALIKE[method]
    assert relative_error(run(mirrored, method), run(series, method)) > 0.3


@pytest.mark.parametrize("method", [m for m in tomography.METHODS if m not in ("tv", "genfire")])
def test_a_slice_alone_is_that_slice_of_the_stack(method, series):
    """Not for TV and GENFIRE, which join the slices on purpose; CGLS shares one step, so its slices are close."""
    alone = run(series.replace(images=series.images[:, 3:4]), method)
    limit = 0.2 if method == "cgls" else 1e-5
    assert relative_error(alone[:, 0], run(series, method)[:, 3]) < limit


@pytest.mark.parametrize("method", tomography.METHODS)
def test_a_box_inside_a_larger_one_is_that_box(method, truth):
    support = np.zeros(truth.shape, dtype=bool)
    support[3:16, 1:7, 3:16] = True
    larger = np.zeros((31, 8, 31), dtype=np.float32)
    larger[6:25, :, 6:25] = truth
    wide = np.zeros(larger.shape, dtype=bool)
    wide[6:25, :, 6:25] = support
    found = run(series_of(larger), method, support=wide)
    assert not found[~wide].any()
    # images are cut in the small case only where they are zero; the Fourier grid of GENFIRE grows with the box
    narrow = run(TiltSeries(series_of(larger).images[:, :, 6:25], ANGLES, 4.63), method, support=support)
    assert relative_error(found[6:25, :, 6:25], narrow) < (0.25 if method == "genfire" else 2e-3)


@pytest.mark.parametrize("factor", [1e-20, 1e-6, 1e6, 1e16])
@pytest.mark.parametrize("method", tomography.METHODS)
def test_images_times_a_factor_give_the_volume_times_it(method, factor, series):
    scaled = TiltSeries(series.images.astype(np.float64) * factor, ANGLES, 4.63)
    assert relative_error(run(scaled, method) / factor, run(series, method)) < 1e-3


@pytest.mark.parametrize("method", tomography.METHODS)
def test_empty_rows_and_columns_stay_empty_and_spoil_nothing(method, truth):
    volume = np.zeros((19, 14, 27), dtype=np.float32)
    volume[:, 3:11, 4:23] = truth
    values = tomography.reconstruct(series_of(volume), method=method, n_z=19, **QUICK[method]).tomogram.values
    assert np.isfinite(values).all()
    if method not in ("genfire", "tv"):  # these join the rows
        assert np.abs(values[:, [0, 1, 2, 11, 12, 13]]).max() == 0
    assert metrics.nrmse(values[:, 3:11, 4:23], truth) < 1.1 * metrics.nrmse(run(series_of(truth), method), truth)


# Weighted back-projection


def disc(n=65, radius=24.0, fine=4):
    axis = (np.arange(n * fine) + 0.5) / fine - 0.5 - n // 2
    inside = axis[:, None] ** 2 + axis[None, :] ** 2 < radius**2
    return inside.reshape(n, fine, n, fine).mean(axis=(1, 3)).astype(np.float32)[:, None, :]


@pytest.mark.parametrize(
    "angles",
    [np.arange(*limits, 2.0) for limits in ((0.0, 180.0), (-90.0, 91.0), (0.0, 360.0), (-120.0, 121.0))],
)
def test_wbp_gives_the_density_whatever_the_range(angles):
    volume = 3.0 * disc()
    values = tomography.reconstruct(series_of(volume, angles), method="wbp", positivity=False).tomogram.values
    y, x = np.mgrid[-32:33, -32:33]
    inner = np.hypot(x, y) < 20
    assert values[:, 0][inner].mean() == pytest.approx(3.0, rel=2e-3)
    assert np.abs(values[:, 0][inner] - 3.0).max() < 0.1


def test_wbp_has_no_bias_inside_the_inscribed_circle():
    """What it measures is the mean of the volume: that of the images, but for what the box cuts off outside."""
    values = tomography.reconstruct(series_of(disc(), np.arange(0.0, 180.0, 1.0)), method="wbp", positivity=False)
    y, x = np.mgrid[-32:33, -32:33]
    inscribed = np.hypot(x, y) <= 32
    bias = values.tomogram.values[:, 0][inscribed].mean() - disc()[:, 0][inscribed].mean()
    assert abs(bias) < 5e-5


def test_shares_of_the_tilts_add_up():
    anywhere = np.sort(np.random.default_rng(1).uniform(0, 360, 50))
    for angles in (np.arange(0.0, 180.0, 7.5), np.arange(-90.0, 91.0, 3.0), anywhere):
        assert angle_shares(angles).sum() == pytest.approx(np.pi)
        assert angle_shares(angles).min() >= 0
    wedge = np.rad2deg(angle_shares(ANGLES))
    np.testing.assert_allclose(wedge, 10.0)
    # nearly closed: the ends share what is left
    np.testing.assert_allclose(np.rad2deg(angle_shares(np.array([-88.0, -44.0, 0.0, 44.0, 88.0])))[[0, -1]], 24.0)


# Algebraic methods


def test_sart_in_a_box_without_support_and_positivity_converges(series):
    r = tomography.reconstruct(series, method="sart", relaxation=1.0, n_iterations=200, positivity=False).r_factor
    assert r[-1] < 1e-3  # with the column sums of each tilt it diverged
    assert np.all(np.diff(r[5:]) < 1e-6)


def test_poisson_noise_changes_what_is_fitted_as_far_as_the_floor_of_the_variance_allows(truth):
    clean = series_of(truth)
    scale = 30 / clean.images.max()
    counts = np.random.default_rng(5).poisson(clean.images * scale) / scale
    noisy = TiltSeries(counts, ANGLES, 4.63)
    options = {"method": "tv", "weight": 0.02, "supersampling": 1, "n_iterations": 30}
    fits = {n: tomography.reconstruct(noisy, noise=n, **options).tomogram.values for n in ("gaussian", "poisson")}
    assert relative_error(fits["poisson"], fits["gaussian"]) > 0.02
    # With a floor a hundred times as high all pixels weigh alike; without one, empty pixels outweigh the particle.
    errors = {name: metrics.nrmse(fit, truth) for name, fit in fits.items()}
    assert errors["poisson"] < 0.85 * errors["gaussian"]

    def deviance(values):
        expected = np.maximum(tomography.project(Tomogram(values, 4.63), ANGLES).images, 1e-2)
        return metrics.poisson_deviance(expected * scale, np.rint(counts * scale))

    # what is likelier for counts is what the Poisson form finds
    assert deviance(fits["poisson"]) < deviance(fits["gaussian"])
