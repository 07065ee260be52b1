r"""Composition from line maps and a density: counts as density times fraction, all elements at once.

.. math:: d_{et} = \frac{g_t}{k_e}\, M_t\big[\rho\, G_{et} f_e\big] + n

with the k-factors k, one gain g per tilt (dose, unit of the density), and the weights G of absorption and shadow. Gains
and mean fractions follow from sums over the particle; `tomography.fractions` does the rest.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from .._typing import Bools, Floats, Floats32
from .._validation import check_positive, fail
from ..containers import Tomogram
from ..spectroscopy.detectors import Detectors
from ..tomography.fractions import FractionData, Prior
from .inputs import ElementMaps

#: Where the search for settings begins. The mean comes from sums of all counts, so it has little freedom left.
START = Prior(sd=0.01, length_nm=9.0, decay_nm=40.0, mean_sd=0.003)
_SDS = (0.0, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.045)
_LENGTHS_NM = (5.0, 7.0, 9.0, 12.0, 16.0, 22.0)
_DECAYS_NM = (10.0, 15.0, 25.0, 40.0, 80.0, float("inf"))
#: Relative sd of the most abundant element (the oxygen of an oxide): 0 keeps it constant.
_MAJORITY_SDS = (0.0, 0.25, 0.5, 1.0)


def search_grid(mean_fractions: Floats) -> dict[str, tuple[Any, ...]]:
    """Values of every setting that `fusion.reconstruct` tries, for the elements' mean fractions."""
    majority = int(np.argmax(mean_fractions))
    ratios = tuple(
        tuple(ratio if i == majority else 1.0 for i in range(len(mean_fractions)))
        for ratio in (_MAJORITY_SDS if len(mean_fractions) > 2 else (1.0,))
    )
    return {"sd": _SDS, "length_nm": _LENGTHS_NM, "decay_nm": _DECAYS_NM, "state_sds": ratios}


def fraction_data(
    maps: ElementMaps,
    density: Tomogram,
    mask: Bools,
    *,
    k_factors: Mapping[str, float],
    detectors: Detectors | None = None,
    absorption: bool = True,
    extra_atoms: Mapping[str, float] | None = None,
    density_error: float = 0.02,
    n_updates: int = 2,
) -> FractionData:
    """Find mean fractions and gains, with absorption by what is found, and hand everything to the engine.

    Parameters
    ----------
    maps : ElementMaps
    density : Tomogram
        Atoms per nm³ of the elements mapped.
    mask : ndarray of bool, shape (z, y, x)
    k_factors : mapping of str to float
        Of intensities *without* absorption, such as those from cross-sections.
    detectors : Detectors, optional
        For absorption and shadow; a Super-X by default.
    absorption : bool, default True
        False leaves both out.
    extra_atoms : mapping of str to float, optional
        Atoms that absorb and emit no line, per atom of the density, such as ``{"Li": 1 / 3}``.
    density_error : float, default 0.02
        Relative error of the projected density.
    n_updates : int, default 2
        Times that absorption is computed from the composition found.

    Returns
    -------
    FractionData

    Raises
    ------
    ValueError
        If the k-factors are for other elements or not positive.
    """
    per_count = check_k_factors(k_factors, maps.elements)
    n_elements, n_tilts = maps.images.shape[:2]
    measured = maps.images.sum(axis=(2, 3), dtype=np.float64)
    fractions = per_count * measured.sum(axis=1)
    fractions = fractions / fractions.sum()
    unit = FractionData(
        maps.images,
        maps.covariance,
        maps.tilt_angles_deg,
        np.asarray(density.values, dtype=np.float32),
        mask,
        np.full(n_elements, 1 / n_elements),
        np.full((n_elements, n_tilts), float(n_elements)),
        density_error=density_error,
        voxel_size_nm=density.voxel_size_nm,
    )
    gains = np.ones(n_tilts)
    for _ in range(n_updates if absorption else 1):
        if absorption:
            unit = unit.replace(weights=_weights(maps, density, fractions, detectors, extra_atoms or {}))
        path = unit.expected().sum(axis=(2, 3), dtype=np.float64)  # density times weights, summed over the image
        fractions, gains = fractions_and_gains(measured, path, per_count, fractions)
    return unit.replace(mean_fractions=fractions, gains=gains / per_count[:, None])


def check_k_factors(k_factors: Mapping[str, float], elements: tuple[str, ...]) -> Floats:
    """Return the k-factors in the order of the elements, or raise ValueError."""
    if set(k_factors) != set(elements):
        raise fail("k_factors", expected=f"one for each of {list(elements)}", got=list(k_factors), remedy="match them")
    return np.array([check_positive(k_factors[element], f"k-factor of {element}") for element in elements])


def fractions_and_gains(measured: Floats, path: Floats, k_factors: Floats, start: Floats) -> tuple[Floats, Floats]:
    """Mean fractions and gain of each tilt from sums over the images.

    Parameters
    ----------
    measured : ndarray, shape (element, tilt)
        Counts.
    path : ndarray, shape (element, tilt)
        Projected density times weights.
    k_factors, start : ndarray, shape (element,)
        k-factors, and first fractions.

    Returns
    -------
    fractions : ndarray, shape (element,)
    gains : ndarray, shape (tilt,)

    Examples
    --------
    >>> path = np.array([[10.0, 20.0], [10.0, 20.0]])
    >>> fractions, gains = fractions_and_gains(np.array([[6.0, 12.0], [2.0, 4.0]]), path, np.ones(2), np.full(2, 0.5))
    >>> fractions.round(3), gains.round(3)
    (array([0.75, 0.25]), array([0.8, 0.8]))
    """
    fractions = start
    for _ in range(20):
        gains = measured.sum(axis=0) / np.sum((fractions / k_factors)[:, None] * path, axis=0)
        fractions = k_factors * measured.sum(axis=1) / (path @ gains)
        fractions = fractions / fractions.sum()
    return fractions, measured.sum(axis=0) / np.sum((fractions / k_factors)[:, None] * path, axis=0)


def _weights(
    maps: ElementMaps,
    density: Tomogram,
    fractions: Floats,
    detectors: Detectors | None,
    extra_atoms: Mapping[str, float],
) -> Floats32:
    from .. import eds

    composition = dict(zip(maps.elements, np.maximum(fractions, 0).tolist(), strict=True)) | dict(extra_atoms)
    weights = eds.absorption_weights(
        density,
        composition=composition,
        elements=maps.elements,
        tilt_angles_deg=maps.tilt_angles_deg,
        detectors=detectors,
    )
    return np.stack([weights[element] for element in maps.elements])
