"""Where the beam goes: the true position of every pixel of every exposure, and what it passes through."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from .._typing import Floats
from .._validation import fail
from ..constants import ATOMIC_WEIGHT_G_PER_MOL, AVOGADRO_PER_MOL, CARBON_FILM_DENSITY_G_PER_CM3, SPECIES_ELEMENT
from ..phantoms import Phantom
from .broadening import broadened, slice_borders_nm
from .damage import damage, damaged_share, near_surface
from .settings import Acquisition

FWHM_PER_SIGMA = 2 * np.sqrt(2 * np.log(2))
_CORNERS = np.array([(-1, -1), (-1, 1), (1, -1), (1, 1)])


@dataclass(frozen=True, eq=False)
class Exposure:
    """One image: what was meant and what really happened.

    Parameters
    ----------
    nominal_angle_deg, angle_deg : float
        Tilt as set and as it was.
    displacement_px : array, shape (2,)
        How far (y, x) the specimen lies from where it should, averaged over the image, pixels.
    drift_px : array, shape (2,)
        How far (y, x) it moves from the first to the last pixel.
    u_nm, y_nm : array, shape (y, x)
        Where each pixel's ray really crosses the specimen's own image plane.
    dose_e_per_a2 : float
        What the specimen has received when half of this image is taken.
    tilt_index, repeat_index : int or None
        Place in the tilt series and among the repeated zero tilts (0 beginning, 1 middle, 2 end).
    """

    nominal_angle_deg: float
    angle_deg: float
    displacement_px: Floats
    drift_px: Floats
    u_nm: Floats
    y_nm: Floats
    dose_e_per_a2: float
    tilt_index: int | None
    repeat_index: int | None

    def truth(self) -> dict[str, Floats]:
        """Return what an alignment tries to find; `shifts_px` is to be applied, the opposite of what happened."""
        return {
            "tilt_angles_deg": np.asarray(self.angle_deg),
            "nominal_tilt_angles_deg": np.asarray(self.nominal_angle_deg),
            "shifts_px": -self.displacement_px,
            "drift_px": self.drift_px,
            "dose_e_per_a2": np.asarray(self.dose_e_per_a2),
        }


def plan(acquisition: Acquisition, *, rng: np.random.Generator) -> list[Exposure]:
    r"""Decide every exposure of a tilt series, zero tilts before and after included.

    A specimen point (u, y) appears in the image at

    .. math:: X = u \cos\varphi - y \sin\varphi + s_x + d_x(k), \quad Y = u \sin\varphi + y \cos\varphi + s_y + d_y(k)

    with :math:`\varphi` the rotation of the tilt axis, s the misalignment of this image and d the drift, which grows
    linearly with the number k of the pixel in reading order and is zero halfway.

    Parameters
    ----------
    acquisition : Acquisition
    rng : numpy.random.Generator

    Returns
    -------
    list of Exposure
        In order of time: the first zero tilt, the series, the last zero tilt.
    """
    places: list[tuple[float, int | None, int | None]]
    places = [(angle, index, None) for index, angle in enumerate(acquisition.tilt_angles_deg)]
    if acquisition.repeats:
        if 0.0 in acquisition.tilt_angles_deg:
            middle = acquisition.tilt_angles_deg.index(0.0)
            places[middle] = (0.0, middle, 1)
        else:
            places.insert(len(places) // 2, (0.0, None, 1))
        places = [(0.0, None, 0), *places, (0.0, None, 2)]
    # A stream for each effect: switching one off leaves the others as they were.
    tilt_rng, shift_rng, drift_rng = rng.spawn(3)
    n = len(places)
    errors = tilt_rng.normal(0.0, 1.0, n) * acquisition.tilt_error_deg
    shifts = shift_rng.uniform(-1.0, 1.0, (n, 2)) * acquisition.misalignment_px
    headings = drift_rng.uniform(0, 2 * np.pi, n)
    drifts = np.stack([np.sin(headings), np.cos(headings)], axis=1) * acquisition.drift_nm / acquisition.pixel_size_nm
    return [
        _expose(
            acquisition,
            place,
            angle_deg=place[0] + error,
            shift_px=shift,
            drift_px=drift,
            dose_e_per_a2=(index + 0.5) * acquisition.dose_per_image_e_per_a2,
        )
        for index, (place, error, shift, drift) in enumerate(zip(places, errors, shifts, drifts, strict=True))
    ]


def _expose(
    acquisition: Acquisition,
    place: tuple[float, int | None, int | None],
    *,
    angle_deg: float,
    shift_px: Floats,
    drift_px: Floats,
    dose_e_per_a2: float,
) -> Exposure:
    ny, nx = acquisition.scan_shape
    rows, columns = np.indices((ny, nx), dtype=np.float64)
    elapsed = (rows * nx + columns) / max(ny * nx - 1, 1) - 0.5
    y_image = (rows - ny // 2 - shift_px[0] - drift_px[0] * elapsed) * acquisition.pixel_size_nm
    x_image = (columns - nx // 2 - shift_px[1] - drift_px[1] * elapsed) * acquisition.pixel_size_nm
    phi = np.deg2rad(acquisition.axis_rotation_deg)
    u = x_image * np.cos(phi) + y_image * np.sin(phi)
    y = y_image * np.cos(phi) - x_image * np.sin(phi)
    nominal, tilt_index, repeat_index = place
    return Exposure(nominal, angle_deg, shift_px, drift_px, u, y, dose_e_per_a2, tilt_index, repeat_index)


def check_inside(phantom: Phantom, acquisition: Acquisition, exposures: list[Exposure]) -> None:
    """Raise ValueError unless the whole specimen stays inside every image.

    A specimen that the frame cuts has no center of mass and no conserved sum, and alignment would go wrong unnoticed.
    """
    ny, nx = acquisition.scan_shape
    step = acquisition.pixel_size_nm
    low = -(np.array([ny // 2, nx // 2]) + 0.5) * step
    high = low + np.array([ny, nx]) * step
    phi = np.deg2rad(acquisition.axis_rotation_deg)
    for exposure in exposures:
        u0, u1, y0, y1 = phantom.extent_nm(exposure.angle_deg)
        corners = np.array([(u, y) for u in (u0, u1) for y in (y0, y1)])
        # Rotation moves the far ends of the specimen sideways; the box around it moves by at most this much.
        sideways = np.abs(np.sin(phi)) * np.abs(corners).max(axis=0)
        moved = exposure.displacement_px * step
        margin = np.abs(exposure.drift_px) * step / 2 + sideways
        first = np.array([y0, u0]) + moved - margin
        last = np.array([y1, u1]) + moved + margin
        beyond = max(float((low - first).max()), float((last - high).max()))
        if beyond > 0:
            raise fail(
                "specimen",
                expected=f"all of it inside the field of view ({ny * step:.0f} x {nx * step:.0f} nm) at every tilt",
                got=f"{beyond:.1f} nm of it outside at a tilt of {exposure.nominal_angle_deg:g} degrees",
                remedy="scan more or larger pixels, or reduce misalignment_px and drift_nm",
            )


def species_maps(phantom: Phantom, acquisition: Acquisition, exposure: Exposure) -> dict[str, Floats]:
    """Integrate the specimen under the probe at every pixel.

    The Gaussian probe is a 2 x 2 Gauss-Hermite rule: rays one standard deviation to either side, exact up to cubic
    terms of what lies under it.

    Parameters
    ----------
    phantom : Phantom
    acquisition : Acquisition
    exposure : Exposure

    Returns
    -------
    dict of str to ndarray, shape (y, x)
        Atoms per nm² of O, Mn4, Mn3, Mn2, Co3, Co2, Ni2 and Li.
    """
    maps = _under_the_probe(phantom, acquisition, exposure)
    share = float(damaged_share(exposure.dose_e_per_a2, acquisition))
    if share == 0:
        return maps
    surface_maps = _under_the_probe(phantom, acquisition, exposure, depth_weight=near_surface)
    return damage(maps, surface_maps, share)


def _under_the_probe(
    phantom: Phantom,
    acquisition: Acquisition,
    exposure: Exposure,
    *,
    depth_weight: Callable[[Floats], Floats] | None = None,
) -> dict[str, Floats]:
    angle, offsets = exposure.angle_deg, np.zeros((1, 2))
    if acquisition.probe_fwhm_nm > 0:
        offsets = _CORNERS * acquisition.probe_fwhm_nm / FWHM_PER_SIGMA
    u = exposure.u_nm + offsets[:, 0, None, None]
    y = exposure.y_nm + offsets[:, 1, None, None]
    borders = slice_borders_nm(phantom, angle) if acquisition.beam_broadening else np.array([])
    slices = phantom.areal_densities(angle, u, y, depth_weight=depth_weight, borders_nm=borders)
    slices = {name: values.mean(axis=1) for name, values in slices.items()}
    if acquisition.beam_broadening:
        return broadened(slices, acquisition)
    return {name: values[0] for name, values in slices.items()}


def zone_share(acquisition: Acquisition, *, angle_deg: float) -> float:
    """How closely a tilt meets one of the zone axes: 1 on it, half of that at half its width, 0 without zones.

    Examples
    --------
    >>> [round(zone_share(Acquisition(zone_tilts_deg=(30.0,)), angle_deg=tilt), 2) for tilt in (30, 31, 40)]
    [1.0, 0.5, 0.0]
    """
    distances = np.abs(np.asarray(acquisition.zone_tilts_deg, dtype=np.float64) - angle_deg)
    return float(0.5 ** ((2 * distances.min() / acquisition.zone_width_deg) ** 2)) if distances.size else 0.0


def film_atoms_per_nm2(acquisition: Acquisition, *, angle_deg: float) -> float:
    """Carbon atoms per nm² of the support film, which looks thicker by 1/cos t when tilted.

    Examples
    --------
    >>> round(film_atoms_per_nm2(Acquisition(film_thickness_nm=4.0), angle_deg=60.0))
    802
    """
    per_nm3 = CARBON_FILM_DENSITY_G_PER_CM3 * AVOGADRO_PER_MOL / ATOMIC_WEIGHT_G_PER_MOL["C"] * 1e-21
    return float(acquisition.film_thickness_nm / np.cos(np.deg2rad(angle_deg)) * per_nm3)


def element_maps(maps: Mapping[str, Floats], acquisition: Acquisition, *, angle_deg: float) -> dict[str, Floats]:
    """Add up the species of each element, and the film.

    Parameters
    ----------
    maps : mapping of str to array, shape (y, x)
        Atoms per nm² of each species, from :func:`species_maps`.
    acquisition : Acquisition
        Supplies the film.
    angle_deg : float
        Tilt.

    Returns
    -------
    dict of str to ndarray, shape (y, x)
        Atoms per nm² of each element.

    Examples
    --------
    >>> maps = {"Mn4": np.array([[30.0]]), "Mn3": np.array([[70.0]])}
    >>> {element: float(areal[0, 0]) for element, areal in element_maps(maps, Acquisition(), angle_deg=0).items()}
    {'Mn': 100.0, 'C': 401.1}
    """
    atoms: dict[str, Floats] = {}
    for name, areal in maps.items():
        element = SPECIES_ELEMENT[name]
        atoms[element] = atoms[element] + areal if element in atoms else np.asarray(areal)
    shape = np.broadcast_shapes(*(areal.shape for areal in atoms.values()))
    atoms["C"] = np.full(shape, film_atoms_per_nm2(acquisition, angle_deg=angle_deg))
    return atoms
