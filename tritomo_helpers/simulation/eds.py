r"""Energy-dispersive X-ray spectra of every pixel, from four detectors that see the specimen from different sides.

.. math:: \lambda(E) = N_e\, \eta \sum_k \frac{\Omega_k}{4\pi} S_k \Big[\sum_l n_l \sigma_l\, T_{kl}\, g_l(E)
          + \sum_s n_s \frac{d\sigma_s}{dE} T_k(E)\, \Delta E\Big]

with detectors k, their shadow S, lines l of width g, bremsstrahlung of the species s, and the mean transmission T of
the X-rays made along the beam on their way through the particle to detector k. Counts are Poisson numbers of λ.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._typing import Floats
from .._validation import fail
from ..constants import (
    ATOMIC_WEIGHT_G_PER_MOL,
    AVOGADRO_PER_MOL,
    BARN_NM2,
    CARBON_FILM_DENSITY_G_PER_CM3,
    SPECIES_ELEMENT,
)
from ..phantoms import Phantom
from ..phantoms.shapes import coverage
from ..spectroscopy import xray
from ..spectroscopy.detectors import columns_towards
from .counting import count_in_blocks
from .rays import Exposure, zone_share
from .settings import Acquisition
from .spectrometer_settings import Eds

# Elements outside the particle: support film, grid and holder.
_SURROUNDINGS = ("C", "Cu")
# Grid of the absorption calculation: 9 nm fine for a particle, while X-rays of 0.5 keV travel microns.
_GRID = 32
# Energies (keV) at which the bremsstrahlung's transmission is computed: on both sides of the absorption edges.
_NODES_KEV = (0.15, 0.3, 0.531, 0.533, 0.639, 0.652, 0.768, 0.778, 0.794, 0.854, 0.873, 1.1, 1.7, 3.0, 6.0, 40.0)


def transmission(
    phantom: Phantom, angle_deg: float, energies_kev: Floats, eds: Eds, *, n_grid: int = _GRID
) -> tuple[Floats, Floats]:
    r"""Mean transmission of X-rays made along every ray, on the way to each detector.

    .. math:: T_k(u, y; E) = \frac{\int n\, e^{-\int_0^\infty \mu(E)\, ds}\, dn}{\int n\, dn}

    Parameters
    ----------
    phantom : Phantom
        The specimen; its density and composition are sampled on a grid that stands in the frame of the image.
    angle_deg : float
        Tilt.
    energies_kev : ndarray, shape (m,)
        Photon energies.
    eds : Eds
        Directions of the detectors.
    n_grid : int, default 32
        Points of the grid along each side.

    Returns
    -------
    transmission : ndarray, shape (detector, m, n_grid, n_grid)
        Axes y and u last; 1 where there is nothing.
    axis_nm : ndarray, shape (n_grid,)
        Coordinates of both axes.

    Notes
    -----
    Path lengths to the boundary are summed plane by plane towards the detector, with linear interpolation inside each
    plane.
    """
    half = float(np.linalg.norm(phantom.body.shape.surface_nm, axis=1).max()) * 1.02 + 4.0
    axis = np.linspace(-half, half, n_grid)
    step = axis[1] - axis[0]
    u, y, n = np.meshgrid(axis, axis, axis, indexing="ij")
    t = np.deg2rad(angle_deg)
    points = np.stack([u * np.cos(t) + n * np.sin(t), y, n * np.cos(t) - u * np.sin(t)], axis=-1).reshape(-1, 3)
    depth, values = phantom.body.evaluate(points)
    share = coverage(depth)
    mass: dict[str, Floats] = {}
    for name, density in values.species().items():
        element = SPECIES_ELEMENT[name]
        grams = density * share * (ATOMIC_WEIGHT_G_PER_MOL[element] / AVOGADRO_PER_MOL * 1e21)
        mass[element] = mass.get(element, 0.0) + grams.reshape(u.shape)
    coefficients = np.stack([xray.mass_absorption(element, energies_kev) for element in mass], axis=1)
    per_nm = np.stack(list(mass.values())) * 1e-7  # g/cm³ x cm/nm
    made = np.sum(list(mass.values()), axis=0)
    total = made.sum(axis=2)
    found = np.ones((len(eds.azimuths_deg), energies_kev.size, n_grid, n_grid))
    for k, direction in enumerate(eds.detectors.directions):
        columns = columns_towards(per_nm, direction, step=step).reshape(len(mass), -1)
        leaving = np.exp(-(coefficients.astype(np.float32) @ columns.astype(np.float32)))
        mean = np.einsum("muyn,uyn->muy", leaving.reshape(-1, *u.shape), made.astype(np.float32))
        # (u, y) -> (y, u); a trace added to both sides makes empty rays transparent without a division by zero.
        trace = 1e-6 * total.max() + 1e-300
        found[k] = ((mean + trace) / (total + trace)).transpose(0, 2, 1)
    return found, axis


class _Shapes:
    """What all pixels of an acquisition share: lines, their shapes, and the bremsstrahlung between the nodes."""

    def __init__(self, acquisition: Acquisition, elements: tuple[str, ...]) -> None:
        eds = acquisition.eds
        energy = eds.energy_ev
        beam = acquisition.beam_energy_kev
        emitters = [element for element in elements if element != "Li"]  # which has no line that the detector sees
        self.lines = tuple(line for line in xray.lines(emitters) if line.energy_kev * 1e3 < energy[-1])
        self.main_lines = {element: xray.main_line(element, beam_energy_kev=beam).name for element in emitters}
        self.sigma = (
            np.array([xray.emission_cross_section(line, beam_energy_kev=beam) for line in self.lines]) * BARN_NM2
        )
        efficiency = dict(eds.line_efficiency)
        self.sigma *= [efficiency.get(f"{line.element} {line.name}", 1.0) for line in self.lines]
        self.line_shapes = np.stack(
            [xray.line_shape(energy, line.energy_kev, resolution_ev=eds.resolution_ev) for line in self.lines]
        ).astype(np.float32)
        self.nodes_kev = np.array([node for node in _NODES_KEV if node < energy[-1] / 1e3] + [energy[-1] / 1e3])
        # The lowest channels see no photons: electronics cut the spectrum off near 100 eV.
        kev = np.maximum(energy, 1.0) / 1e3
        seen = energy >= 100
        # Linear interpolation between nodes, as a matrix (node, energy).
        self.hats = np.stack([np.interp(kev, self.nodes_kev, row) * seen for row in np.eye(self.nodes_kev.size)])
        self.brems = {
            element: xray.bremsstrahlung_cross_section(
                element, kev, beam_energy_kev=beam, elevation_deg=eds.elevation_deg
            )
            * (BARN_NM2 * eds.channel_ev / 1e3)
            for element in elements
        }
        self.energies_kev = np.concatenate([[line.energy_kev for line in self.lines], self.nodes_kev])


def axes(acquisition: Acquisition) -> dict[str, Floats]:
    """Return the energy axis, eV."""
    return {"eds": acquisition.eds.energy_ev}


@lru_cache(maxsize=4)
def _shapes(acquisition: Acquisition, elements: tuple[str, ...]) -> _Shapes:
    return _Shapes(acquisition, elements)


def _areal_densities(maps: Mapping[str, Floats], exposure: Exposure, acquisition: Acquisition) -> dict[str, Floats]:
    """Atoms per nm² of each element under every pixel, film and grid included."""
    film = acquisition.film_thickness_nm / np.cos(np.deg2rad(exposure.angle_deg))
    carbon_per_nm3 = CARBON_FILM_DENSITY_G_PER_CM3 * AVOGADRO_PER_MOL / ATOMIC_WEIGHT_G_PER_MOL["C"] * 1e-21
    surroundings = (film * carbon_per_nm3, acquisition.eds.stray_copper_per_nm2)
    atoms = {el: np.full(acquisition.scan_shape, n) for el, n in zip(_SURROUNDINGS, surroundings, strict=True)}
    for species, areal in maps.items():
        element = SPECIES_ELEMENT[species]
        atoms[element] = atoms[element] + areal if element in atoms else areal
    return atoms


def _channeled(element: str, acquisition: Acquisition, exposure: Exposure) -> float:
    """Tell by which factor channeling changes an element's X-rays."""
    if element != "O":
        return 1.0
    return 1 + acquisition.channeling_oxygen * zone_share(acquisition, angle_deg=exposure.angle_deg)


class Expected(NamedTuple):
    """Noise-free emission at one exposure.

    Parameters
    ----------
    counts : ndarray, shape (y, x, line)
        Expected counts of each line.
    lines : tuple of XrayLine
        Whose counts these are.
    seen : ndarray, shape (y, x, node)
        Electrons times solid angle over 4 pi times transmission at the nodes of the bremsstrahlung.
    shadow : ndarray, shape (detector,)
        Share of each detector that sees the specimen.
    atoms : dict of str to ndarray, shape (y, x)
        Atoms per nm² of each element, film and grid included.
    """

    counts: Floats
    lines: tuple[xray.XrayLine, ...]
    seen: Floats
    shadow: Floats
    atoms: dict[str, Floats]


def expected_lines(
    maps: Mapping[str, Floats], exposure: Exposure, phantom: Phantom, acquisition: Acquisition
) -> Expected:
    """Return the expected counts of every line at every pixel, and what the bremsstrahlung is made of.

    Parameters
    ----------
    maps : mapping of str to array, shape (y, x)
        Atoms per nm² of each species.
    exposure : Exposure
    phantom : Phantom
    acquisition : Acquisition

    Returns
    -------
    Expected
    """
    from scipy.ndimage import map_coordinates

    eds = acquisition.eds
    ny, nx = acquisition.scan_shape
    atoms = _areal_densities(maps, exposure, acquisition)
    tables = _shapes(acquisition, tuple(atoms))
    shares = eds.detectors.shadow(exposure.angle_deg)
    if not np.any(shares > 0):
        raise fail(
            "shadow",
            expected="at least one detector that sees the specimen at every tilt",
            got=f"none at {exposure.nominal_angle_deg:g} degrees",
            remedy="lower horizon_deg, leave this tilt out, or set shadow=False",
        )
    arriving = acquisition.electrons_per_pixel * eds.efficiency * eds.solid_angle_sr / len(shares) / (4 * np.pi)
    if eds.absorption:
        through, axis = transmission(phantom, exposure.angle_deg, tables.energies_kev, eds)
        mean = np.tensordot(shares, through, axes=1)  # (energy, y, u)
        at = [(values - axis[0]) / (axis[1] - axis[0]) for values in (exposure.y_nm, exposure.u_nm)]
        seen = np.stack([map_coordinates(plane, at, order=1, mode="nearest") for plane in mean], axis=-1)
    else:
        seen = np.full((ny, nx, tables.energies_kev.size), shares.sum())
    n_lines = len(tables.lines)
    counts = np.empty((ny, nx, n_lines))
    for index, line in enumerate(tables.lines):
        # Grid and holder are seen past the particle, and by all detectors.
        share = float(len(shares)) if line.element == "Cu" else seen[..., index]
        counts[..., index] = arriving * atoms[line.element] * tables.sigma[index] * share
        counts[..., index] *= _channeled(line.element, acquisition, exposure)
    return Expected(counts, tables.lines, arriving * seen[..., n_lines:], shares, atoms)


def detect(
    maps: Mapping[str, Floats],
    exposure: Exposure,
    phantom: Phantom,
    acquisition: Acquisition,
    *,
    rng: np.random.Generator,
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Record the X-ray spectra of one exposure.

    Parameters
    ----------
    maps : mapping of str to array, shape (y, x)
        Atoms per nm² of each species.
    exposure : Exposure
        True tilt and positions.
    phantom : Phantom
        Absorbs the X-rays.
    acquisition : Acquisition
        Dose and detectors.
    rng : numpy.random.Generator
        Counting noise.

    Returns
    -------
    counts : dict
        ``"eds"``, shape (y, x, energy): unsigned integers, or float32 without noise.
    truth : dict
        ``"eds_shadow"`` (detector,): share of each detector that sees the specimen. ``"eds_expected_<element>"``
        (y, x): expected counts in the main line, and ``"eds_transmission_<element>"``: over those without absorption.
    """
    eds = acquisition.eds
    ny, nx = acquisition.scan_shape
    counts, _, seen, shares, atoms = expected_lines(maps, exposure, phantom, acquisition)
    tables = _shapes(acquisition, tuple(atoms))
    lines = counts.reshape(ny * nx, -1).astype(np.float32)
    # Two bytes hold 65,535 counts a channel: a thousand times those of the paper's dose.
    many = acquisition.electrons_per_pixel * eds.efficiency * eds.solid_angle_sr > 1e10
    dtype: Any = (np.uint32 if many else np.uint16) if acquisition.counting_noise else np.float32
    background: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []
    if eds.bremsstrahlung:
        for element, areal in atoms.items():
            made = (seen * areal[..., None]).reshape(ny * nx, -1).astype(np.float32)
            background.append((made, (tables.hats * tables.brems[element]).astype(np.float32)))

    def count(part: slice, generator: np.random.Generator) -> NDArray[Any]:
        expected = lines[part] @ tables.line_shapes
        for made, shape in background:
            expected += made[part] @ shape
        return generator.poisson(expected) if acquisition.counting_noise else expected

    found = count_in_blocks(count, n_pixels=ny * nx, n_channels=eds.n_channels, dtype=dtype, rng=rng)
    truth: dict[str, NDArray[Any]] = {"eds_shadow": shares}
    full = (
        acquisition.electrons_per_pixel * eds.efficiency * eds.solid_angle_sr / len(shares) / (4 * np.pi) * shares.sum()
    )
    for index, line in enumerate(tables.lines):
        if line.element not in _SURROUNDINGS and tables.main_lines[line.element] == line.name:
            truth[f"eds_expected_{line.element}"] = counts[..., index].astype(np.float32)
            without = full * atoms[line.element] * tables.sigma[index]
            without *= _channeled(line.element, acquisition, exposure)
            ratio = np.divide(counts[..., index], without, out=np.ones((ny, nx)), where=without > 0)
            truth[f"eds_transmission_{line.element}"] = ratio.astype(np.float32)
    return {"eds": found.reshape(ny, nx, eds.n_channels)}, truth
