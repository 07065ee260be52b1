r"""What a dose can see: detectability of a cluster, before anything is measured.

A matched filter that knows size and shape of a cluster reaches the signal-to-noise ratio

.. math:: \mathrm{SNR}^2 = \sum_{t, p} \frac{\ell_c^2}{\ell}\; \Delta^\top F \Delta

over tilts t and pixels p, with the path ℓ through the particle, the path through the cluster ℓ_c, the change Δ of the
fractions, and the Fisher information F of the line counts of one pixel per nm of path. Three things keep a solve below
that, and are taken off: clusters have soft edges that pixels blur, they lie between the voxels that are asked,
and the mean from which it departs is found from data that hold all clusters. A search for the size costs more.

References
----------
Turin, IRE Trans. Inf. Theory 6, 311 (1960), for the filter.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri

from .._typing import Floats
from .._validation import check_finite, check_option, check_positive, checked, fail
from ..constants import BARN_NM2
from ..eds.model import LineModel
from ..simulation import Acquisition
from ..spectroscopy import xray
from . import material

EDGE_NM = 2.0
"""Half width of the soft edge of a cluster, as in the twin."""
#: Places of a cluster over which scores are averaged, in layers of equal volume.
_N_PLACES = 7


@dataclass(frozen=True, eq=False)
class Detectability:
    """What a matched filter reaches.

    Parameters
    ----------
    snr : float
        Signal over noise of a cluster in the middle of the particle.
    snr_at_surface : float
        The same just below the surface, where paths are shorter.
    snr_anywhere : float
        Mean over all places in the particle.
    false_positive_rate : ndarray, shape (n,)
        Share of the voxels marked by noise alone.
    recall : ndarray, shape (n,)
        Share of the clusters found at that rate, mean over all places.
    precision : ndarray, shape (n,)
        Share of what is found that is a cluster. The streaks of clusters that were found already are not counted.
    false_spots : ndarray of float, shape (n,)
        Separate spots, a diameter apart or more, that noise alone makes.
    """

    snr: float
    snr_at_surface: float
    snr_anywhere: float
    false_positive_rate: Floats
    recall: Floats
    precision: Floats
    false_spots: Floats


@checked
def detectability(
    acquisition: Acquisition,
    *,
    particle_nm: float,
    radius_nm: float,
    contrast_at_percent: float,
    element: str = "Mn",
    n_clusters: float = 14.0,
    fractions: Mapping[str, float] | None = None,
    false_positive_rate: ArrayLike | None = None,
    absorption: bool = True,
) -> Detectability:
    """Say which share of the clusters a tilt series can show.

    Parameters
    ----------
    acquisition : Acquisition
        Dose, tilts, pixels and detectors.
    particle_nm : float
        Diameter of a round particle.
    radius_nm : float
        Radius of the clusters.
    contrast_at_percent : float
        By how much the element is richer in a cluster, at% of all visible atoms, oxygen included; the other metals
        are poorer in equal parts (`cluster_composition`).
    element : str, default "Mn"
        Which element is rich.
    n_clusters : float, default 14
        Clusters in a particle: for the precision, and for the mean that they shift.
    fractions : mapping of str to float, optional
        Mean atomic fractions of the particle; NCM111 by default.
    false_positive_rate : array_like, shape (rate,), optional
        Share of places, between 0 and 1; 61 values from 1e-4 to 0.3 by default.
    absorption : bool, default True
        Whether X-rays are absorbed in the particle.

    Returns
    -------
    Detectability

    Raises
    ------
    ValueError
        If a size is not positive, a cluster does not fit into the particle, the others would have to be poorer than
        none at all, or a rate is not between 0 and 1.

    Notes
    -----
    Absorption enters by its mean at half the radius of the particle, the shadow of the detectors by its mean over the
    tilts. Clusters have the soft edge of the twin's, 2 nm to either side. Product ``study/planning-check`` compares
    this with simulations.

    Examples
    --------
    >>> plan = detectability(Acquisition(), particle_nm=170.0, radius_nm=6.5, contrast_at_percent=9.0)
    >>> 1.0 < plan.snr < plan.snr_at_surface < 5.0
    True
    """
    diameter = check_positive(particle_nm, "particle_nm")
    radius = check_positive(radius_nm, "radius_nm")
    if 2 * radius >= diameter:
        raise fail("radius_nm", expected="a cluster smaller than the particle", got=radius, remedy="give it in nm")
    check_positive(n_clusters, "n_clusters")
    mean = dict(material.FRACTIONS if fractions is None else fractions)
    inside = cluster_composition(contrast_at_percent=contrast_at_percent, element=element, fractions=mean)
    rates = np.logspace(-4, np.log10(0.3), 61) if false_positive_rate is None else np.asarray(false_positive_rate)
    check_finite(rates, "false_positive_rate")
    if np.any((rates <= 0) | (rates >= 1)):
        raise fail("false_positive_rate", expected="between 0 and 1", got=rates.tolist(), remedy="try 0.01 for 1 %")
    change = np.array([inside[el] - mean[el] for el in mean])
    matrix = _information(acquisition, tuple(mean.items()), diameter, absorption)
    information = float(change @ matrix @ change)
    n_tilts = len(acquisition.tilt_angles_deg)
    reach = diameter / 2 - radius
    anywhere = reach * np.cbrt((np.arange(_N_PLACES) + 0.5) / _N_PLACES)  # middles of layers of equal volume
    pixel = acquisition.pixel_size_nm
    sums = np.array([_path_sum(diameter, radius, pixel, off) for off in (0.0, *anywhere, reach)])
    kept = _kept_by_blur(radius, pixel) * _kept_by_mean(diameter, radius, n_clusters) ** 2
    snr = np.sqrt(n_tilts * information * kept * sums)
    recall = ndtr(snr[1:-1, None] + ndtri(rates)).mean(axis=0)
    false = _false_spots(acquisition, diameter, radius, rates)
    precision = n_clusters * recall / (n_clusters * recall + false)
    return Detectability(float(snr[0]), float(snr[-1]), float(snr[1:-1].mean()), rates, recall, precision, false)


def cluster_composition(
    *, contrast_at_percent: float, element: str = "Mn", fractions: Mapping[str, float] | None = None
) -> dict[str, float]:
    """Return what a cluster is made of: one element richer, the others poorer in equal parts, but the most abundant.

    Parameters
    ----------
    contrast_at_percent : float
        By how much the element is richer, at% of all visible atoms. Of the metal atoms alone it is about three times
        as much, since two of three visible atoms are oxygen.
    element : str, default "Mn"
    fractions : mapping of str to float, optional
        Mean atomic fractions of the particle; NCM111 by default.

    Returns
    -------
    dict of str to float
        Atomic fractions of the visible atoms in the cluster.

    Raises
    ------
    ValueError
        If the contrast is not positive, the element is not among the fractions, or another would fall below zero.

    Examples
    --------
    >>> inside = cluster_composition(contrast_at_percent=9.0)
    >>> round(100 * inside["Mn"], 1), round(100 * inside["Mn"] / (1 - inside["O"]))
    (20.1, 60)
    """
    contrast = check_positive(contrast_at_percent, "contrast_at_percent") / 100
    mean = dict(material.FRACTIONS if fractions is None else fractions)
    check_option(element, "element", tuple(mean))
    majority = max(mean, key=lambda el: mean[el])
    others = [el for el in mean if el not in (element, majority)] or [majority]
    most = min(mean[el] for el in others) * len(others)
    if contrast > most:
        raise fail(
            "contrast_at_percent",
            expected=f"at most {100 * most:.1f}, where {' and '.join(others)} have nothing left to give",
            got=contrast_at_percent,
            remedy="it counts all visible atoms, oxygen too: a third of the change among the metals",
        )
    poorer = {el: mean[el] - contrast / len(others) for el in others}
    return {**mean, **poorer, element: mean[element] + contrast}


@lru_cache(maxsize=64)
def _information(
    acquisition: Acquisition, fractions: tuple[tuple[str, float], ...], particle_nm: float, absorption: bool
) -> Floats:
    return information_per_nm(acquisition, dict(fractions), particle_nm=particle_nm, absorption=absorption)


@checked
def information_per_nm(
    acquisition: Acquisition, fractions: Mapping[str, float], *, particle_nm: float, absorption: bool = True
) -> Floats:
    """Fisher information on the fractions from one pixel and 1 nm of path, shape (element, element).

    From the expected spectrum: lines of the elements, fitted together with bremsstrahlung.

    Examples
    --------
    >>> shares = {"O": 2 / 3, "Mn": 1 / 9, "Co": 1 / 9, "Ni": 1 / 9}
    >>> information_per_nm(Acquisition(), shares, particle_nm=200.0).diagonal().round()
    array([ 2., 18., 21., 24.])
    """
    eds = acquisition.eds
    elements = tuple(fractions)
    energy = eds.energy_ev
    window = (energy >= material.WINDOW_EV[0]) & (energy <= material.WINDOW_EV[1])
    model = LineModel(
        energy[window], elements, beam_energy_kev=acquisition.beam_energy_kev, resolution_ev=eds.resolution_ev
    )
    columns = model.columns()
    shapes = np.stack([columns[element] for element in elements], axis=1)
    shadow = np.mean([eds.detectors.shadow(angle) for angle in acquisition.tilt_angles_deg])
    arriving = acquisition.electrons_per_pixel * eds.efficiency * eds.solid_angle_sr / (4 * np.pi) * shadow
    per_atom = BARN_NM2 * np.array([model.family_cross_section(element) for element in elements])
    way_nm = particle_nm / 4 if absorption else 0.0  # half a radius of way out
    through = np.exp(-way_nm * np.array(list(material.absorption_per_nm(fractions).values())))
    counts = arriving * material.ATOMS_PER_NM3 * per_atom * through  # per fraction and nm
    background = sum(
        fraction
        * xray.bremsstrahlung_cross_section(
            element, energy[window] / 1e3, beam_energy_kev=acquisition.beam_energy_kev, elevation_deg=eds.elevation_deg
        )
        for element, fraction in fractions.items()
    ) * (BARN_NM2 * eds.channel_ev / 1e3 * arriving * material.ATOMS_PER_NM3)
    signal: Floats = np.asarray(shapes * counts)
    spectrum = np.asarray(signal @ np.array(list(fractions.values())) + background)
    both = np.concatenate([signal, np.atleast_1d(background)[:, None]], axis=1)
    full = np.einsum("ei,ej->ij", both, both / spectrum[:, None])
    # The amplitude of the bremsstrahlung is fitted too: what it shares with the lines is lost.
    n = len(elements)
    return np.asarray(full[:n, :n] - np.outer(full[:n, n], full[n, :n]) / full[n, n])


def _path_sum(diameter_nm: float, radius_nm: float, pixel_nm: float, off_nm: float) -> float:
    """Sum over pixels of (path in the cluster)² / (path in the particle), nm, mean over directions of the offset."""
    r = (np.arange(200) + 0.5) / 200 * radius_nm
    squared = 4 * (radius_nm**2 - r**2) * 2 * np.pi * r
    total = float(squared.sum() * (r[1] - r[0]) / pixel_nm**2)
    angles = (np.arange(90) + 0.5) * np.pi / 180
    seen_off = off_nm * np.sin(angles)
    paths = 2 * np.sqrt(np.maximum((diameter_nm / 2) ** 2 - seen_off**2, radius_nm**2))
    return total * float(np.average(1 / paths, weights=np.sin(angles)))


def _false_spots(acquisition: Acquisition, diameter_nm: float, radius_nm: float, rates: Floats) -> Floats:
    r"""How many separate spots noise alone makes above the thresholds of some rates.

    High above the mean each spot of a smooth Gaussian field has one maximum, and their number is the expected Euler
    characteristic of what lies above the threshold t,

    .. math:: E(t) = \sum_{d=0}^{3} \mu_d\, \lambda^{d/2}\, \rho_d(t), \qquad
              \rho_3 = (2\pi)^{-2} (t^2 - 1)\, e^{-t^2/2},

    with the intrinsic volumes μ of the ball of places and the variance λ of the slope of the scores. Between voxels a
    maximum is missed by a little, which raises t. Below about 2 the spots merge: there it is as many as balls of
    their size fit in.

    References
    ----------
    Worsley et al., Human Brain Mapping 4, 58 (1996), table of the densities.
    """
    reach, pixel = diameter_nm / 2 - radius_nm, acquisition.pixel_size_nm
    _, power, q2 = _spectrum_of_ball(radius_nm, pixel)
    angles = np.deg2rad(acquisition.tilt_angles_deg)
    seen = np.array([1.0, np.mean(np.cos(angles) ** 2), np.mean(np.sin(angles) ** 2)])  # of a slope along y, x, z
    slopes = np.sum(q2 * power) / np.sum(power) / 2 * seen
    slope = np.cbrt(np.prod(slopes))
    missed = min(slopes.sum() * pixel**2 / 24, 0.5)
    t = -ndtri(rates) / (1 - missed)
    bell = np.exp(-(t**2) / 2)
    characteristic = (
        ndtr(-t)
        + 4 * reach * np.sqrt(slope) * bell / (2 * np.pi)
        + 2 * np.pi * reach**2 * slope * t * bell / (2 * np.pi) ** 1.5
        + 4 / 3 * np.pi * reach**3 * slope**1.5 * (t**2 - 1) * bell / (2 * np.pi) ** 2
    )
    return np.asarray(np.maximum(characteristic, (diameter_nm / (2 * radius_nm)) ** 3 * rates))


def _spectrum_of_ball(radius_nm: float, pixel_nm: float, *, edge_nm: float = EDGE_NM) -> tuple[Floats, Floats, Floats]:
    """Power of the shadow of a ball on circles of frequency, the same with soft edges in pixels, and squares of these.

    Frequencies are in radians per nm.
    """
    x = np.linspace(1e-3, 60, 6000)
    power = np.square((np.sin(x) - x * np.cos(x)) / x**3) * x  # of a ball, times the circle of frequencies
    q2 = (x / radius_nm) ** 2
    variance = edge_nm**2 / 5 + pixel_nm**2 / 12  # of the step s²(3 - 2s), and of a square
    return power, power * np.exp(-q2 * variance), q2


def _kept_by_blur(radius_nm: float, pixel_nm: float, *, edge_nm: float = EDGE_NM) -> float:
    r"""Share of SNR² that soft edges, pixels and a place between voxels leave.

    In the spectrum C of a ball, edges and pixels multiply by Gaussians, and the mean over places in a pixel by another:
    the share is :math:`\langle C^2 b\,o\rangle^2 / \langle C^2 b\rangle \langle C^2\rangle`.

    Examples
    --------
    >>> round(_kept_by_blur(10.0, 1e-6, edge_nm=0.0), 6), _kept_by_blur(6.5, 4.63) < _kept_by_blur(10.0, 4.63) < 1
    (1.0, True)
    """
    power, blurred, q2 = _spectrum_of_ball(radius_nm, pixel_nm, edge_nm=edge_nm)
    placed = blurred * np.exp(-q2 * pixel_nm**2 / 24)
    return float(placed.sum() ** 2 / (blurred.sum() * power.sum()))


def _kept_by_mean(diameter_nm: float, radius_nm: float, n_clusters: float) -> float:
    """Share of the signal that is left when the mean, clusters included, is subtracted; the mean chord stands for ℓ.

    Examples
    --------
    >>> round(_kept_by_mean(120.0, 10.0, 5), 2)
    0.88
    """
    filled = n_clusters * (2 * radius_nm / diameter_nm) ** 3
    return max(1 - filled * 2 / 3 * (2 / 3 * diameter_nm) / radius_nm, 0.0)
