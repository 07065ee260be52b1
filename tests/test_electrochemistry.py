import numpy as np
import pytest

from tritomo_helpers import electrochemistry as ec
from tritomo_helpers.constants import NCM111_FORMULA


def test_charge_of_a_constant_current():
    charge = ec.passed_charge_ah(np.linspace(0, 7200, 50), np.full(50, -1.5))
    assert charge[0] == 0
    assert charge[-1] == pytest.approx(3.0)


def test_charge_of_a_ramp_is_exact():
    time = np.array([0.0, 10.0, 35.0, 3600.0])
    assert ec.passed_charge_ah(time, 2 * time / 3600)[-1] == pytest.approx(1.0)


@pytest.mark.parametrize("falling", [True, False])
def test_a_plateau_becomes_a_peak_of_the_right_height_and_area(falling):
    """Charge as the integral of two Gaussian peaks on a floor: the derivative is known."""
    volts = np.linspace(3.0, 4.2, 4001)
    floor, first, second = 5.0, 40.0, 12.0
    truth = floor + first * np.exp(-(((volts - 3.7) / 0.08) ** 2)) + second * np.exp(-(((volts - 4.0) / 0.1) ** 2))
    charge = np.concatenate([[0], np.cumsum((truth[1:] + truth[:-1]) / 2 * np.diff(volts))])
    if falling:
        volts, charge = volts[::-1], charge[-1] - charge[::-1]
    grid, derivative = ec.differential_capacity(charge, volts, step_v=0.005, smooth_v=0.01)
    expected = np.interp(grid, np.sort(volts), truth)
    np.testing.assert_allclose(derivative, expected, rtol=0.01)
    assert grid[derivative.argmax()] == pytest.approx(3.7, abs=0.006)


def test_noise_in_the_voltage_does_not_move_the_peak():
    rng = np.random.default_rng(0)
    charge = np.linspace(0, 10, 5000)
    volts = 4.0 - 0.1 * charge + 0.05 * np.tanh(charge - 5)
    grid, clean = ec.differential_capacity(charge, volts)
    _, noisy = ec.differential_capacity(charge, volts + rng.normal(0, 5e-4, volts.size))
    assert abs(grid[clean.argmax()] - grid[np.asarray(noisy)[: grid.size].argmax()]) < 0.02


def test_area_under_the_derivative_is_the_charge():
    charge = np.linspace(0, 2, 500)
    volts = 4.2 - 0.4 * charge**1.5
    grid, derivative = ec.differential_capacity(charge, volts, step_v=0.002, smooth_v=0.004)
    area = np.trapezoid(derivative, grid)
    inside = (volts >= grid[0]) & (volts <= grid[-1])
    assert area == pytest.approx(np.ptp(charge[inside]), rel=0.02)


def test_theoretical_capacity():
    # Textbook values: LiCoO2 274, LiMn2O4 148 mAh/g; NCM111 278.
    assert ec.theoretical_capacity_mah_per_g({"Li": 1, "Co": 1, "O": 2}) == pytest.approx(274, abs=0.5)
    assert ec.theoretical_capacity_mah_per_g({"Li": 1, "Mn": 2, "O": 4}) == pytest.approx(148, abs=0.5)
    assert ec.theoretical_capacity_mah_per_g(NCM111_FORMULA) == pytest.approx(278, abs=0.5)


def test_valence_of_known_oxides():
    # MnO, Mn2O3, MnO2, LiCoO2, LiMn2O4
    found = ec.mean_metal_valence(oxygen_per_metal=[1, 1.5, 2, 2, 2], lithium_per_metal=[0, 0, 0, 1, 0.5])
    np.testing.assert_allclose(found, [2, 3, 4, 3, 3.5])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ec.passed_charge_ah([0, 1], [1, -1]), "split the record"),
        (lambda: ec.passed_charge_ah([1, 0], [1, 1]), "increasing"),
        (lambda: ec.passed_charge_ah([0, 1], [1]), "one current per time"),
        (lambda: ec.differential_capacity([0, 1], [4.0, 3.95]), "whole curve"),
        (lambda: ec.differential_capacity([0, 1, 2], [4.0, 3.0]), "one capacity per voltage"),
        (lambda: ec.theoretical_capacity_mah_per_g({"Co": 1, "O": 2}), "lithium"),
        (lambda: ec.theoretical_capacity_mah_per_g({"Li": 1, "Xx": 2}), "lithium and any of"),
        (lambda: ec.mean_metal_valence(oxygen_per_metal=-1, lithium_per_metal=0), "zero or above"),
    ],
)
def test_bad_input_says_what_to_do(call, words):
    with pytest.raises(ValueError, match=words):
        call()
