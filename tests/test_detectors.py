"""Where X-ray detectors stand: against the conventions, directions counted one by one, and paths summed by hand."""

import numpy as np
import pytest

from tritomo_helpers.phantoms.specimen import tilt_directions
from tritomo_helpers.simulation import Eds
from tritomo_helpers.spectroscopy.detectors import Detectors, columns_towards


def rng():
    return np.random.default_rng(5)


@pytest.mark.parametrize("tilt_deg", [-70.0, 0.0, 40.0])
def test_detectors_look_back_at_the_side_where_the_beam_enters(tilt_deg):
    u, beam = tilt_directions(tilt_deg)  # of the page of conventions, in (x, y, z)
    found = Detectors().directions_in_specimen(tilt_deg)
    np.testing.assert_allclose(found @ beam, -np.sin(np.deg2rad(18)))
    np.testing.assert_allclose(found @ u, np.cos(np.deg2rad(18)) * np.sqrt(0.5) * np.array([1, -1, -1, 1]))
    np.testing.assert_allclose(found[:, 1], np.cos(np.deg2rad(18)) * np.sqrt(0.5) * np.array([1, 1, -1, -1]))
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1)


def test_the_face_where_the_beam_enters_turns_to_plus_u_at_positive_tilt():
    # A point on that face, at negative z, is seen at u = -z sin t > 0.
    entrance = np.array([0.0, 0.0, -1.0])
    assert entrance @ tilt_directions(40.0)[0] > 0
    raised = Detectors().effective_elevation_deg(40.0)
    np.testing.assert_allclose(raised, [42.0, -11.2, -11.2, 42.0], atol=0.2)
    np.testing.assert_allclose(Detectors().effective_elevation_deg(0.0), 18)
    np.testing.assert_allclose(Detectors().effective_elevation_deg(-40.0), raised[[1, 0, 3, 2]])
    by_hand = np.rad2deg(np.arcsin(Detectors().directions_in_specimen(40.0) @ entrance))
    np.testing.assert_allclose(raised, by_hand)


def test_shadow_equals_counting_directions_on_the_face():
    generator = rng()
    for angle in (0.0, -20.0, -30.0, -70.0):
        direction = Detectors().directions[0]
        # Random directions on the round face of one detector (0.175 sr), judged against the horizon one by one.
        cos = generator.uniform(1 - 0.175 / (2 * np.pi), 1, 40_000)
        phi = generator.uniform(0, 2 * np.pi, 40_000)
        first = np.cross(direction, [0, 0, 1.0])
        first /= np.linalg.norm(first)
        second = np.cross(direction, first)
        across = np.cos(phi)[:, None] * first + np.sin(phi)[:, None] * second
        rays = cos[:, None] * direction + np.sqrt(1 - cos**2)[:, None] * across
        t = np.deg2rad(angle)
        elevation = np.rad2deg(np.arcsin(rays[:, 0] * np.sin(t) - rays[:, 2] * np.cos(t)))
        found = Detectors(horizon_deg=3.0).shadow(angle)[0]
        assert found == pytest.approx((elevation > 3.0).mean(), abs=0.03)


def test_without_shadowing_every_face_is_seen():
    np.testing.assert_array_equal(Detectors(shadowing=False).shadow(70.0), np.ones(4))


def test_simulation_hands_its_detectors_to_the_analysis():
    settings = Eds(elevation_deg=20.0, azimuths_deg=[0, 90], solid_angle_sr=0.9, horizon_deg=2.0, shadow=False)
    assert settings.detectors == Detectors(20.0, (0.0, 90.0), 0.9, 2.0, shadowing=False)


@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, 1), (1, -1, -1), (-1, -1, -1)])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_columns_out_of_a_ball_are_its_chords(flips, order):
    step, radius = 2.0, 30.0
    axis = (np.arange(41) - 20) * step
    a, b, c = np.meshgrid(axis, axis, axis, indexing="ij")
    # Soft by one cell, so that the sums see a ball and not its staircase.
    density = np.clip((radius - np.sqrt(a**2 + b**2 + c**2)) / step + 0.5, 0, 1)
    direction = np.array([0.8, 0.48, 0.36])[list(order)] * flips
    found = columns_towards(density[None], direction, step=step)[0]
    points = np.stack([a, b, c], axis=-1)[density == 1]
    along = points @ direction
    chord = -along + np.sqrt(along**2 + radius**2 - (points**2).sum(axis=1))
    error = found[density == 1] - chord
    # Interpolating again in every plane spreads a ray over a few cells, which shortens the columns of a convex body.
    assert np.sqrt((error**2).mean()) < 0.015 * radius
    assert -0.01 * radius < error.mean() < 0.003 * radius


def test_columns_keep_kind_and_precision():
    density = np.stack([np.ones((3, 3, 3)), 2 * np.ones((3, 3, 3))]).astype(np.float32)
    found = columns_towards(density, (0.0, 0.0, -1.0), step=1.5)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[1], 2 * found[0])
    np.testing.assert_allclose(found[0, 0, 0], [0.0, 1.5, 3.0])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"elevation_deg": -18}, "a detector behind the specimen. To fix: count the elevation towards the source"),
        ({"elevation_deg": 90.0}, "above 0 and below 90 degrees"),
        ({"elevation_deg": "18"}, "above 0 and below 90 degrees, got '18'"),
        ({"azimuths_deg": ()}, "at least one detector, got none"),
        ({"azimuths_deg": (0.0, float("nan"))}, "give one azimuth each"),
        ({"solid_angle_sr": 0}, "solid_angle_sr: expected a finite number above zero"),
    ],
)
def test_impossible_detectors(settings, words):
    with pytest.raises(ValueError, match=words):
        Detectors(**settings)
