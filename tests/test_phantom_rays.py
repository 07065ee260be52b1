"""Paths through the specimens, which their surfaces give in closed form."""

import numpy as np
import pytest

from tests.helper import relative_error
from tritomo_helpers import phantoms


class TestRays:
    @pytest.mark.parametrize("angle", [-70.0, 0.0, 33.0])
    def test_equal_an_independent_ray_sum(self, angle):
        phantom = phantoms.particle("cycled-200-2", shape=16)
        u, y = np.linspace(-110, 110, 12), np.linspace(-90, 90, 11)
        found = phantom.areal_densities(angle, u, y)
        t = np.deg2rad(angle)
        along = np.arange(-150, 150, 0.37)
        expected = {name: np.zeros((y.size, u.size)) for name in ("O", "Mn2", "Co3", "Li")}
        for row, y_value in enumerate(y):
            for column, u_value in enumerate(u):
                x = u_value * np.cos(t) + along * np.sin(t)
                z = -u_value * np.sin(t) + along * np.cos(t)
                points = np.stack([x, np.full_like(x, y_value), z], axis=1)
                for name, values in phantom.at(points, species=tuple(expected)).items():
                    expected[name][row, column] = values.sum() * 0.37
        for name, image in expected.items():
            assert relative_error(found[name], image) < 1e-3, name

    @pytest.mark.parametrize("name", ["pristine-3", "cycled-100-3", "cycled-200-2"])
    def test_conserve_mass_over_tilt(self, name):
        phantom = phantoms.particle(name, shape=16)
        axis = (np.arange(64) - 32) * 4.63
        found = [phantom.areal_densities(angle, axis, axis) for angle in range(-70, 71, 20)]
        for species in ("O", "Mn4", "Co2", "Li"):
            sums = [maps[species].sum() for maps in found]
            assert np.ptp(sums) / np.mean(sums) < 1e-3, species
        voxels = phantoms.particle(name).number_density("Li").sum() * 4.63
        assert np.mean([maps["Li"].sum() for maps in found]) == pytest.approx(voxels, rel=1e-3)

    def test_ball_in_closed_form(self):
        ball = phantoms.balls([[10, -20, 30]], [60], shape=16)
        t = np.deg2rad(40)
        u0 = 10 * np.cos(t) - 30 * np.sin(t)
        offsets = np.array([0.0, 20.0, 45.0])
        found = ball.areal_densities(40, u0 + offsets, [-20.0])
        chord = 2 * np.sqrt(60**2 - offsets**2)
        per_nm3 = 4.77 / 96.46 * 602.214  # formula units of NCM111
        assert found["O"][0] == pytest.approx(2 * per_nm3 * chord, rel=2e-3)
        assert found["Li"][0] == pytest.approx(per_nm3 * chord, rel=2e-3)
        assert found["Mn4"][0] == pytest.approx(per_nm3 / 3 * chord, rel=2e-3)
        assert found["Mn2"][0] == pytest.approx(0, abs=1e-9)

    def test_chiral_object_comes_out_the_right_way_round(self):
        phantom = phantoms.chiral()
        axis = (np.arange(64) - 32) * phantom.voxel_size_nm
        # Voxels: the +z ball is at high z index, the +x ball at high x index.
        for index, expected in ((0, 110), (1, 95), (2, 75)):
            profile = phantom.mask.any(axis=tuple({0, 1, 2} - {index}))
            assert axis[profile].max() == pytest.approx(expected + {110: 17, 95: 22, 75: 28}[expected], abs=5)
            assert axis[profile].min() == pytest.approx(-40, abs=5)
        volumes, (x, z) = np.array([40, 28, 22, 17]) ** 3, np.array([[0, 75, 0, 0], [0, 0, 0, 110]])
        for angle in (-50.0, 20.0, 60.0):
            t = np.deg2rad(angle)
            image = phantom.areal_densities(angle, axis, axis)["O"]
            center = (image.sum(axis=0) @ axis) / image.sum()
            assert center == pytest.approx(volumes @ (x * np.cos(t) - z * np.sin(t)) / volumes.sum(), abs=0.05)

    def test_positions_of_any_shape(self):
        phantom = phantoms.particle("pristine-4", shape=16)
        grid = phantom.areal_densities(10, [-20.0, 0.0], [5.0])["O"]
        scattered = phantom.areal_densities(10, np.array([[-20.0], [0.0]]), np.array([[5.0], [5.0]]))["O"]
        assert np.array_equal(grid.ravel(), scattered.ravel())
        with pytest.raises(ValueError, match="one x and one y for every ray"):
            phantom.areal_densities(10, np.zeros((2, 2)), np.zeros(3))
