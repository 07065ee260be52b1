"""The projector against cases known by hand: position, mass, scale, adjoint and the sign of the tilt."""

import numpy as np
import pytest

from tests.helper import adjoint_mismatch, relative_error
from tritomo_helpers.projection import Projector

ANGLES = np.arange(-70.0, 71.0, 10.0)


@pytest.mark.parametrize(("n_z", "n_x", "n_pixels"), [(16, 16, 16), (15, 17, 17), (9, 16, 21)])
def test_adjoint_is_exact_for_even_odd_and_unequal_sizes(n_z, n_x, n_pixels):
    projector = Projector(ANGLES, (n_z, n_x), n_pixels=n_pixels)
    mismatch = adjoint_mismatch(
        projector.forward, projector.adjoint, (n_z, 5, n_x), (15, 5, n_pixels), np.random.default_rng(1)
    )
    assert mismatch < 1e-6


def test_adjoint_check_can_fail():
    one, other = Projector(ANGLES, (12, 12)), Projector(ANGLES + 1, (12, 12))
    mismatch = adjoint_mismatch(one.forward, other.adjoint, (12, 3, 12), (15, 3, 12), np.random.default_rng(1))
    assert mismatch > 1e-4


def test_every_tilt_conserves_mass_slice_by_slice():
    volume = np.zeros((33, 4, 33), dtype=np.float32)
    volume[8:25, :, 9:24] = np.random.default_rng(2).random((17, 4, 15))
    images = Projector(np.linspace(-90, 90, 37), (33, 33)).forward(volume)
    expected = np.broadcast_to(volume.sum(axis=(0, 2)), (37, 4))
    np.testing.assert_allclose(images.sum(axis=2), expected, rtol=1e-5)


def test_a_voxel_on_the_axis_stays_at_the_center_pixel():
    for size in (8, 9):
        volume = np.zeros((size, 1, size))
        volume[size // 2, 0, size // 2] = 1
        images = Projector(ANGLES, (size, size)).forward(volume)[:, 0]
        center = (images * (np.arange(size) - size // 2)).sum(axis=1)
        np.testing.assert_allclose(center, 0, atol=1e-6)


@pytest.mark.parametrize(("x", "z"), [(3, 0), (0, 3), (-2, 4)])
def test_a_blob_moves_as_positive_tilt_is_defined(x, z):
    axis = np.arange(25) - 12
    blob = np.exp(-((axis[:, None] - z) ** 2 + (axis[None, :] - x) ** 2) / (2 * 1.5**2))
    images = Projector(ANGLES, (25, 25)).forward(blob[:, None, :])[:, 0]
    center = (images * axis).sum(axis=1) / images.sum(axis=1)
    t = np.deg2rad(ANGLES)
    np.testing.assert_allclose(center, x * np.cos(t) - z * np.sin(t), atol=2e-3)


def test_a_disc_projects_to_its_chord_at_every_tilt():
    size, radius, fine = 48, 17.3, 9
    axis = (np.arange(size * fine) + 0.5) / fine - 0.5 - size // 2
    inside = axis[:, None] ** 2 + axis[None, :] ** 2 < radius**2
    disc = inside.reshape(size, fine, size, fine).mean(axis=(1, 3))
    chord = 2 * np.sqrt(np.maximum(radius**2 - axis**2, 0)).reshape(size, fine).mean(axis=1)
    images = Projector(ANGLES, (size, size)).forward(disc[:, None, :])[:, 0]
    for image in images:
        assert relative_error(image, chord) < 0.01


def test_a_uniform_slab_looks_thicker_by_one_over_cosine():
    volume = np.zeros((21, 1, 201))
    volume[6:15] = 1.0
    images = Projector([-40.0, 0.0, 60.0], (21, 201)).forward(volume)[:, 0, 90:111]
    expected = 9 / np.cos(np.deg2rad([-40.0, 0.0, 60.0]))
    np.testing.assert_allclose(images, np.repeat(expected[:, None], 21, axis=1), rtol=1e-5)


def test_slices_do_not_mix():
    rng = np.random.default_rng(3)
    volume = rng.random((11, 6, 11))
    projector = Projector(ANGLES, (11, 11))
    alone = np.concatenate([projector.forward(volume[:, y : y + 1]) for y in range(6)], axis=1)
    np.testing.assert_allclose(projector.forward(volume), alone, rtol=1e-6)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="tilt_angles_deg: expected increasing values"):
        Projector([10, 0], (4, 4))
    with pytest.raises(ValueError, match="repeated"):
        Projector([0, 0], (4, 4))
    with pytest.raises(ValueError, match="shape: expected two sizes"):
        Projector([0], (4, 0))
    projector = Projector([0, 10], (4, 4))
    with pytest.raises(ValueError, match=r"values along \(z, x\): expected shape \(4, 4\)"):
        projector.forward(np.zeros((4, 2, 5)))
    with pytest.raises(ValueError, match="values: expected finite"):
        projector.forward(np.full((4, 2, 4), np.nan))
    with pytest.raises(ValueError, match=r"images along \(tilt, x\)"):
        projector.adjoint(np.zeros((3, 2, 4)))


def test_finer_parts_project_like_their_voxels():
    rng = np.random.default_rng(4)
    volume = rng.random((10, 3, 11)).astype(np.float32)
    parts = volume.repeat(3, axis=0).repeat(3, axis=2)
    coarse, fine = Projector(ANGLES, (10, 11)), Projector(ANGLES, (10, 11), supersampling=3)
    assert relative_error(fine.forward(parts), coarse.forward(volume)) < 1e-6


def test_a_subset_of_tilts_is_those_images():
    volume = np.random.default_rng(5).random((8, 2, 8))
    projector = Projector(ANGLES, (8, 8))
    np.testing.assert_array_equal(projector.subset([1, 4]).forward(volume), projector.forward(volume)[[1, 4]])
