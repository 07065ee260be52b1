r"""Where X-ray detectors stand, what the holder hides from them, and how much matter lies on the way.

The beam travels along +n, and the detectors look back at the side that it enters. In the frame of the image (u, y, n) a
detector of elevation ε and azimuth φ lies in the direction

.. math:: \mathbf{d} = (\cos ε \cos φ,\; \cos ε \sin φ,\; -\sin ε)

Tilting the specimen by t lifts it towards some detectors and hides it from others: above its plane on the beam's side
the detector stands at :math:`\arcsin(\sin ε \cos t + \cos ε \cos φ \sin t)`. Simulation and analysis both use this.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import constants
from .._typing import Floats
from .._validation import check_positive, fail


@dataclass(frozen=True)
class Detectors:
    """X-ray detectors around the specimen; the defaults are a Super-X.

    Parameters
    ----------
    elevation_deg : float, default 18
        Above the plane across the beam, towards the electron source.
    azimuths_deg : sequence of float, default (45, 135, 225, 315)
        One for each detector, from the u axis of the image to y.
    solid_angle_sr : float, default 0.7
        All detectors together. 0.7 sr is the vendor's figure for a Super-X in a corrected Titan, the microscope of the
        paper; 0.9 sr was reached with another pole piece. The paper states none, so allow for 0.7 to 0.9.
    horizon_deg : float, default 0
        Elevation above the tilted specimen plane under which the holder hides a detector.
    shadowing : bool, default True
        Whether the holder hides anything.

    Raises
    ------
    ValueError
        If a detector is behind the specimen, or there is none.

    References
    ----------
    Schlossmacher, Klenov, Freitag and von Harrach, Microscopy Today 18 (4), 14 (2010).

    Examples
    --------
    >>> Detectors().directions[0].round(2)
    array([ 0.67,  0.67, -0.31])
    >>> Detectors().effective_elevation_deg(40.0).round()
    array([ 42., -11., -11.,  42.])
    """

    elevation_deg: float = constants.EDS_ELEVATION_DEG
    azimuths_deg: Sequence[float] = constants.EDS_AZIMUTHS_DEG
    solid_angle_sr: float = constants.EDS_SOLID_ANGLE_SR
    horizon_deg: float = 0.0
    shadowing: bool = True

    def __post_init__(self) -> None:
        check_positive(self.solid_angle_sr, "solid_angle_sr")
        elevation = self.elevation_deg
        if not (isinstance(elevation, int | float) and 0 < elevation < 90):
            behind = isinstance(elevation, int | float) and elevation < 0
            raise fail(
                "elevation_deg",
                expected="detectors on the side of the electron source, above 0 and below 90 degrees",
                got=f"{elevation:g}: a detector behind the specimen" if behind else repr(elevation),
                remedy="count the elevation towards the source; a Super-X has 18",
            )
        azimuths = np.atleast_1d(np.asarray(self.azimuths_deg, dtype=np.float64))
        if azimuths.size == 0 or not np.all(np.isfinite(azimuths)):
            raise fail(
                "azimuths_deg",
                expected="at least one detector",
                got=f"{self.azimuths_deg!r}" if azimuths.size else "none",
                remedy="give one azimuth each, in degrees",
            )
        object.__setattr__(self, "azimuths_deg", tuple(float(a) for a in azimuths))

    def __len__(self) -> int:
        return len(self.azimuths_deg)

    @property
    def directions(self) -> Floats:
        """Unit vectors from the specimen to the detectors, shape (detector, 3), components (u, y, n)."""
        elevation, azimuth = np.deg2rad(self.elevation_deg), np.deg2rad(self.azimuths_deg)
        level = np.cos(elevation)
        return np.stack(
            [level * np.cos(azimuth), level * np.sin(azimuth), np.full(azimuth.shape, -np.sin(elevation))], axis=1
        )

    def directions_in_specimen(self, tilt_deg: float) -> Floats:
        """Return the same vectors, shape (detector, 3), in the axes (x, y, z) of the specimen tilted by `tilt_deg`."""
        t = np.deg2rad(tilt_deg)
        u, y, n = self.directions.T
        return np.stack([u * np.cos(t) + n * np.sin(t), y, n * np.cos(t) - u * np.sin(t)], axis=1)

    def effective_elevation_deg(self, tilt_deg: float) -> Floats:
        """Return the elevation of each detector above the tilted specimen plane, shape (detector,).

        Degrees, counted on the side that the beam enters; negative when the detector looks from below.
        """
        towards_source = -self.directions_in_specimen(tilt_deg)[:, 2]
        return np.asarray(np.rad2deg(np.arcsin(np.clip(towards_source, -1, 1))))

    def shadow(self, tilt_deg: float) -> Floats:
        """Return the share of each detector's face that the holder does not hide, shape (detector,).

        Every face is a disk of its share of the solid angle; what is below the horizon is hidden.

        Examples
        --------
        >>> Detectors().shadow(0.0), Detectors().shadow(40.0).round(2)
        (array([1., 1., 1., 1.]), array([1.  , 0.04, 0.04, 1.  ]))
        """
        if not self.shadowing:
            return np.ones(len(self))
        face = self.solid_angle_sr / len(self)
        radius_deg = np.rad2deg(np.arccos(1 - face / (2 * np.pi)))
        height = np.clip((self.effective_elevation_deg(tilt_deg) - self.horizon_deg) / radius_deg, -1, 1)
        # Area of a disk above a chord at this height of its center.
        return np.asarray(1 - (np.arccos(height) - height * np.sqrt(1 - height**2)) / np.pi)


def columns_towards(density: NDArray[Any], direction: Sequence[float] | Floats, *, step: float) -> NDArray[Any]:
    """Integrate a density from every point of a grid to the grid's boundary along a direction.

    Planes across the largest component of the direction are visited from the far side: the column of a point is the
    column where its line meets the next plane, plus the stretch between. Inside each plane values are interpolated
    linearly; outside the grid there is nothing.

    Parameters
    ----------
    density : ndarray, shape (..., a, b, c)
        Per volume; leading axes are kinds of matter.
    direction : array_like, shape (3,)
        Unit vector along (a, b, c).
    step : float
        Side of a cell, in the unit of length wanted.

    Returns
    -------
    ndarray, shape (..., a, b, c)
        Density times length, of the same dtype.

    Notes
    -----
    Interpolating again in every plane spreads a ray sideways over a few cells, which shortens the columns of a convex
    body by about 1 % of its radius when that is 15 cells.

    Examples
    --------
    >>> columns_towards(np.ones((4, 1, 1)), (1.0, 0.0, 0.0), step=2.0).ravel()
    array([6., 4., 2., 0.])
    """
    towards = np.asarray(direction, dtype=np.float64)
    main = int(np.argmax(np.abs(towards)))
    others = [axis for axis in range(3) if axis != main]
    planes = np.moveaxis(density, main - 3, 0)  # (plane, ..., a, b)
    if towards[main] < 0:
        planes = planes[::-1]
    slope = [towards[axis] / abs(towards[main]) for axis in others]
    half = np.asarray(step / abs(towards[main]) / 2, dtype=planes.dtype)
    columns = np.zeros_like(planes)
    for i in range(planes.shape[0] - 2, -1, -1):
        columns[i] = _sampled_beside(columns[i + 1] + planes[i + 1] * half, slope) + planes[i] * half
    if towards[main] < 0:
        columns = columns[::-1]
    return np.moveaxis(columns, 0, main - 3)


def _sampled_beside(plane: NDArray[Any], offset: list[float]) -> NDArray[Any]:
    """Sample a plane (..., a, b) at (a, b) + offset by linear interpolation, nothing outside; offsets of at most 1."""
    for axis, by in zip((-2, -1), offset, strict=True):
        neighbor = np.zeros_like(plane)
        ahead, behind = [slice(None)] * plane.ndim, [slice(None)] * plane.ndim
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        if by > 0:
            neighbor[tuple(behind)] = plane[tuple(ahead)]
        else:
            neighbor[tuple(ahead)] = plane[tuple(behind)]
        plane = plane + plane.dtype.type(abs(by)) * (neighbor - plane)
    return plane
