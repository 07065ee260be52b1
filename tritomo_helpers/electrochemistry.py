"""Charge, capacity and their derivative: what a battery cycler records, made comparable.

Source: Bard and Faulkner, Electrochemical Methods, 2nd ed. (2001), chapter 1 (Faraday's law); constants of CODATA 2018.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._validation import check_finite, check_increasing, check_ndim, check_positive, check_shape, checked, fail
from .constants import ATOMIC_WEIGHT_G_PER_MOL, AVOGADRO_PER_MOL, ELEMENTARY_CHARGE_C

__all__ = ["differential_capacity", "mean_metal_valence", "passed_charge_ah", "theoretical_capacity_mah_per_g"]

_FARADAY_C_PER_MOL: Final = AVOGADRO_PER_MOL * ELEMENTARY_CHARGE_C


@checked
def passed_charge_ah(time_s: ArrayLike, current_a: ArrayLike) -> NDArray[np.float64]:
    r"""Add up the charge that has passed since the start, by the trapezoid rule.

    .. math:: Q(t) = \int_0^t |I| \, dt'

    Parameters
    ----------
    time_s : array_like, shape (n,)
        Strictly increasing, seconds.
    current_a : array_like, shape (n,)
        Amperes; the sign of a whole charge or discharge does not matter.

    Returns
    -------
    ndarray of float64, shape (n,)
        Ampere hours, 0 at the start.

    Raises
    ------
    ValueError
        If shapes differ, time does not increase, or the current changes its direction.

    Examples
    --------
    >>> passed_charge_ah([0.0, 1800.0, 3600.0], [-2.0, -2.0, -2.0])
    array([0., 1., 2.])
    """
    time = check_increasing(time_s, "time_s")
    current = np.asarray(current_a, dtype=float)
    check_shape(current, "current_a", time.shape, remedy="give one current per time")
    check_finite(current, "current_a")
    if current.min() < 0 < current.max():
        raise fail(
            "current_a",
            expected="a charge or a discharge alone",
            got="both signs",
            remedy="split the record where the current changes its direction",
        )
    steps = np.diff(time) * (np.abs(current[1:]) + np.abs(current[:-1])) / 2
    return np.concatenate([[0.0], np.cumsum(steps)]) / 3600.0


@checked
def differential_capacity(
    capacity: ArrayLike, voltage_v: ArrayLike, *, step_v: float = 0.01, smooth_v: float = 0.05
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    r"""Compute how much charge passes per volt.

    .. math:: \frac{dQ}{dV}\bigg|_{V_i} = \frac{\left|Q(V_i + w/2) - Q(V_i - w/2)\right|}{w}

    The curve is put on an even grid of voltages, and differences are taken over `smooth_v`. A flat stretch of the
    voltage, where lithium leaves or enters one kind of place, becomes a peak.

    Parameters
    ----------
    capacity : array_like, shape (n,)
        Charge passed, in any unit, in the order of recording.
    voltage_v : array_like, shape (n,)
        Rising or falling on the whole; small steps back, which are noise, are sorted away.
    step_v : float, default 0.01
        Spacing of the result, V.
    smooth_v : float, default 0.05
        w, V. Features narrower than this are blurred.

    Returns
    -------
    grid_v : ndarray of float64
        Voltages, V.
    derivative : ndarray of float64
        Unit of `capacity` per V, positive.

    Raises
    ------
    ValueError
        If shapes differ or the voltage spans less than twice `smooth_v`.

    Examples
    --------
    >>> grid, derivative = differential_capacity(np.linspace(0, 2, 101), np.linspace(4, 3, 101))
    >>> bool(np.allclose(derivative, 2.0))  # 2 Ah over 1 V
    True
    """
    voltage = np.asarray(voltage_v, dtype=float)
    charge = np.asarray(capacity, dtype=float)
    check_ndim(voltage, "voltage_v", "point")
    check_shape(charge, "capacity", voltage.shape, remedy="give one capacity per voltage")
    check_finite(voltage, "voltage_v")
    check_finite(charge, "capacity")
    step = check_positive(step_v, "step_v", remedy="give it in V")
    width = check_positive(smooth_v, "smooth_v", remedy="give it in V")
    low, high = float(voltage.min()) + width / 2, float(voltage.max()) - width / 2
    if high - low < width:
        raise fail(
            "voltage_v",
            expected=f"a span of more than {2 * width:g} V",
            got=f"{high - low + width:g} V",
            remedy="give the whole curve, or a smaller smooth_v",
        )
    # Noise makes the voltage step back here and there; sorting it keeps the charge below each voltage.
    order = np.argsort(voltage, kind="stable")
    volts, charges = voltage[order], np.sort(charge)[:: 1 if voltage[-1] > voltage[0] else -1]
    grid = np.arange(low, high + 1e-9, step)
    above, below = (np.interp(grid + side * width / 2, volts, charges) for side in (1, -1))
    return grid, np.abs(above - below) / width


@checked
def theoretical_capacity_mah_per_g(formula: Mapping[str, float]) -> float:
    r"""Return the capacity of a cathode from which all lithium is taken.

    .. math:: C = \frac{n_\mathrm{Li} F}{3.6\, M}

    with F in C/mol and M in g/mol.

    Parameters
    ----------
    formula : mapping of str to float
        Atoms of each element per formula unit, lithium among them.

    Returns
    -------
    float
        mAh/g.

    Raises
    ------
    ValueError
        If there is no lithium, or the atomic weight of an element is not among the constants of the package.

    Examples
    --------
    >>> round(theoretical_capacity_mah_per_g({"Li": 1, "Co": 1, "O": 2}))
    274
    """
    unknown = sorted(set(formula) - set(ATOMIC_WEIGHT_G_PER_MOL))
    if unknown or not formula.get("Li", 0) > 0:
        raise fail(
            "formula",
            expected=f"lithium and any of {', '.join(ATOMIC_WEIGHT_G_PER_MOL)}",
            got=dict(formula),
            remedy="write the atoms per formula unit, such as {'Li': 1, 'Co': 1, 'O': 2}",
        )
    mass = sum(n * ATOMIC_WEIGHT_G_PER_MOL[element] for element, n in formula.items())
    return float(formula["Li"] * _FARADAY_C_PER_MOL / 3.6 / mass)


@checked
def mean_metal_valence(*, oxygen_per_metal: ArrayLike, lithium_per_metal: ArrayLike) -> NDArray[np.float64]:
    r"""Return the mean valence of the transition metals that makes an oxide neutral.

    .. math:: \bar v = 2\,\frac{n_\mathrm{O}}{n_\mathrm{TM}} - \frac{n_\mathrm{Li}}{n_\mathrm{TM}}

    Parameters
    ----------
    oxygen_per_metal, lithium_per_metal : array_like, of one shape
        Atoms per transition-metal atom; oxygen counts as 2-, lithium as 1+.

    Returns
    -------
    ndarray of float64

    Raises
    ------
    ValueError
        If a ratio is negative or not finite.

    Examples
    --------
    >>> mean_metal_valence(oxygen_per_metal=[2, 2, 1], lithium_per_metal=[1, 0.5, 0])
    array([3. , 3.5, 2. ])
    """
    oxygen, lithium = np.asarray(oxygen_per_metal, dtype=float), np.asarray(lithium_per_metal, dtype=float)
    for values, what in ((oxygen, "oxygen_per_metal"), (lithium, "lithium_per_metal")):
        check_finite(values, what)
        if values.size and values.min() < 0:
            raise fail(
                what, expected="atoms per metal, zero or above", got=values.min(), remedy="check the composition"
            )
    if oxygen.size != 1 and lithium.size != 1:
        check_shape(lithium, "lithium_per_metal", oxygen.shape, remedy="give one value for each of oxygen_per_metal")
    return np.asarray(2 * oxygen - lithium)
