r"""Energy-dispersive X-ray spectra of every pixel, from four detectors that see the specimen from different sides.

.. math:: \lambda(E) = N_e\, \eta \sum_k \frac{\Omega_k}{4\pi} S_k \Big[\sum_l n_l \sigma_l\, T_{kl}\, g_l(E)
          + \sum_s n_s \frac{d\sigma_s}{dE} T_k(E)\, \Delta E\Big]

with detectors k, their shadow S, lines l of width g, bremsstrahlung of the species s, and the mean transmission T of
the X-rays made along the beam on their way through the particle to detector k. Counts are Poisson numbers of λ.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

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
    XrayLine,
)
from ..phantoms import Phantom
from ..phantoms.shapes import coverage
from ..spectroscopy import xray
from .rays import Exposure
from .settings import Acquisition
from .spectrometers import Eds, count_in_blocks

ELEMENTS = ("O", "Mn", "Co", "Ni")
# Lines shown in the truth, one per element: what the published maps used.
_MAIN_LINE = {"O": "Ka", "Mn": "La", "Co": "La", "Ni": "La"}
# Grid of the absorption calculation: 9 nm fine for a particle, while X-rays of 0.5 keV travel microns.
_GRID = 32
# Energies (keV) at which the bremsstrahlung's transmission is computed: on both sides of the absorption edges.
_NODES_KEV = (0.15, 0.3, 0.531, 0.533, 0.639, 0.652, 0.768, 0.778, 0.794, 0.854, 0.873, 1.1, 1.7, 3.0, 6.0, 40.0)


def detector_directions(eds: Eds) -> Floats:
    """Return unit vectors from the specimen to the detectors in the frame of the image: (u, y, n).

    Electrons come from +n, the detectors are on that side. Azimuth turns from u to y.

    Parameters
    ----------
    eds : Eds

    Returns
    -------
    ndarray, shape (detector, 3)

    Examples
    --------
    >>> detector_directions(Eds())[0].round(2)
    array([0.67, 0.67, 0.31])
    """
    elevation, azimuth = np.deg2rad(eds.elevation_deg), np.deg2rad(eds.azimuths_deg)
    level = np.cos(elevation)
    return np.stack(
        [level * np.cos(azimuth), level * np.sin(azimuth), np.full(azimuth.shape, np.sin(elevation))], axis=1
    )


def effective_elevation_deg(eds: Eds, tilt_deg: float) -> Floats:
    """Elevation of each detector above the plane of the tilted specimen.

    Parameters
    ----------
    eds : Eds
    tilt_deg : float
        Tilt. The plane's normal is z = cos t n - sin t u.

    Returns
    -------
    ndarray, shape (detector,)
        Degrees; negative when the detector looks at the specimen from below.

    Examples
    --------
    >>> effective_elevation_deg(Eds(), 40.0).round()
    array([-11.,  42.,  42., -11.])
    """
    t = np.deg2rad(tilt_deg)
    d = detector_directions(eds)
    return np.asarray(np.rad2deg(np.arcsin(np.clip(d[:, 2] * np.cos(t) - d[:, 0] * np.sin(t), -1, 1))))


def shadow(eds: Eds, tilt_deg: float) -> Floats:
    """Share of each detector's face that the holder does not hide.

    Parameters
    ----------
    eds : Eds
        Every detector is a disk of its share of the solid angle; the holder hides what is below its horizon.
    tilt_deg : float
        Tilt.

    Returns
    -------
    ndarray, shape (detector,)
        Between 0 and 1; all 1 when shadowing is off.

    Examples
    --------
    >>> shadow(Eds(), 0.0), shadow(Eds(), 40.0).round(2)
    (array([1., 1., 1., 1.]), array([0.04, 1.  , 1.  , 0.04]))
    """
    if not eds.shadow:
        return np.ones(len(eds.azimuths_deg))
    face = eds.solid_angle_sr / len(eds.azimuths_deg)
    radius_deg = np.rad2deg(np.arccos(1 - face / (2 * np.pi)))
    height = np.clip((effective_elevation_deg(eds, tilt_deg) - eds.horizon_deg) / radius_deg, -1, 1)
    # Area of a disk above a chord at this height of its center.
    return np.asarray(1 - (np.arccos(height) - height * np.sqrt(1 - height**2)) / np.pi)


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
    for k, direction in enumerate(detector_directions(eds)):
        columns = _columns_towards(per_nm, direction, step).reshape(len(mass), -1)
        leaving = np.exp(-(coefficients.astype(np.float32) @ columns.astype(np.float32)))
        mean = np.einsum("muyn,uyn->muy", leaving.reshape(-1, *u.shape), made.astype(np.float32))
        # (u, y) -> (y, u); a trace added to both sides makes empty rays transparent without a division by zero.
        trace = 1e-6 * total.max() + 1e-300
        found[k] = ((mean + trace) / (total + trace)).transpose(0, 2, 1)
    return found, axis


def _columns_towards(density: Floats, direction: Floats, step_nm: float) -> Floats:
    """Integrate density (kind, u, y, n) from every point to the boundary along a direction.

    The planes across the largest component of the direction are visited from the far side: the column of a point is the
    column where its line meets the next plane, plus the stretch between.
    """
    main = int(np.argmax(np.abs(direction)))
    others = [i for i in range(3) if i != main]
    planes = np.moveaxis(density, main + 1, 1)  # (kind, plane, a, b)
    if direction[main] < 0:
        planes = planes[:, ::-1]
    slope = [direction[i] / abs(direction[main]) for i in others]
    stretch = step_nm / abs(direction[main])
    columns = np.zeros_like(planes)
    for i in range(planes.shape[1] - 2, -1, -1):
        beyond = columns[:, i + 1] + planes[:, i + 1] * (stretch / 2)
        columns[:, i] = _sampled_beside(beyond, slope) + planes[:, i] * (stretch / 2)
    if direction[main] < 0:
        columns = columns[:, ::-1]
    return np.moveaxis(columns, 1, main + 1)


def _sampled_beside(plane: Floats, offset: list[float]) -> Floats:
    """Sample a plane (kind, a, b) at (a, b) + offset by linear interpolation, nothing outside; offsets of at most 1."""
    for axis, by in zip((1, 2), offset, strict=True):
        neighbor = np.zeros_like(plane)
        ahead, behind = [slice(None)] * 3, [slice(None)] * 3
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        if by > 0:
            neighbor[tuple(behind)] = plane[tuple(ahead)]
        else:
            neighbor[tuple(ahead)] = plane[tuple(behind)]
        plane = plane + abs(by) * (neighbor - plane)
    return plane


class _Shapes:
    """What all pixels of an acquisition share: lines, their shapes, and the bremsstrahlung between the nodes."""

    def __init__(self, acquisition: Acquisition) -> None:
        eds = acquisition.eds
        energy = eds.energy_ev
        beam = acquisition.beam_energy_kev
        self.lines: tuple[XrayLine, ...] = tuple(
            line for line in xray.lines([*ELEMENTS, "C", "Cu"]) if line.energy_kev * 1e3 < energy[-1]
        )
        self.sigma = (
            np.array([xray.emission_cross_section(line, beam_energy_kev=beam) for line in self.lines]) * BARN_NM2
        )
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
            for element in ("Li", "C", *ELEMENTS, "Cu")
        }
        self.energies_kev = np.concatenate([[line.energy_kev for line in self.lines], self.nodes_kev])


def axes(acquisition: Acquisition) -> dict[str, Floats]:
    """Return the energy axis, eV."""
    return {"eds": acquisition.eds.energy_ev}


@lru_cache(maxsize=4)
def _shapes(acquisition: Acquisition) -> _Shapes:
    return _Shapes(acquisition)


def expected_lines(
    maps: Mapping[str, Floats], exposure: Exposure, phantom: Phantom, acquisition: Acquisition
) -> tuple[Floats, Floats, Floats, dict[str, Floats]]:
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
    counts : ndarray, shape (y, x, line)
        In the order of ``xray.lines(["O", "Mn", "Co", "Ni", "C", "Cu"])``.
    seen : ndarray, shape (y, x, node)
        Electrons times solid angle over 4 pi times transmission at the nodes of the bremsstrahlung.
    shares : ndarray, shape (detector,)
        Shadow.
    atoms : dict of str to ndarray, shape (y, x)
        Atoms per nm² of each element, film and grid included.
    """
    from scipy.ndimage import map_coordinates

    eds, tables = acquisition.eds, _shapes(acquisition)
    ny, nx = acquisition.scan_shape
    atoms: dict[str, Floats] = {"C": np.zeros((ny, nx)), "Cu": np.full((ny, nx), eds.stray_copper_per_nm2)}
    for name, areal in maps.items():
        element = SPECIES_ELEMENT[name]
        atoms[element] = atoms.get(element, np.zeros((ny, nx))) + areal
    weight = ATOMIC_WEIGHT_G_PER_MOL["C"]
    carbon_per_nm3 = CARBON_FILM_DENSITY_G_PER_CM3 * AVOGADRO_PER_MOL / weight * 1e-21
    atoms["C"] += acquisition.film_thickness_nm / np.cos(np.deg2rad(exposure.angle_deg)) * carbon_per_nm3

    shares = shadow(eds, exposure.angle_deg)
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
    return counts, arriving * seen[..., n_lines:], shares, atoms


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
    eds, tables = acquisition.eds, _shapes(acquisition)
    ny, nx = acquisition.scan_shape
    counts, seen, shares, atoms = expected_lines(maps, exposure, phantom, acquisition)
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
        if _MAIN_LINE.get(line.element) == line.name:
            truth[f"eds_expected_{line.element}"] = counts[..., index].astype(np.float32)
            without = full * atoms[line.element] * tables.sigma[index]
            ratio = np.divide(counts[..., index], without, out=np.ones((ny, nx)), where=without > 0)
            truth[f"eds_transmission_{line.element}"] = ratio.astype(np.float32)
    return {"eds": found.reshape(ny, nx, eds.n_channels)}, truth
