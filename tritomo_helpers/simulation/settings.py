"""The settings of a simulated acquisition and the dose they amount to."""

from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from .. import constants
from .._validation import check_increasing, check_positive, fail
from .spectrometer_settings import Eds, Eels

_DOSE = "give a number above zero: a dose cannot be negative or nothing"


@dataclass(frozen=True)
class Acquisition:
    """How a tilt series is taken; the defaults are the published experiment.

    Every imperfection can be switched off by setting it to zero (or False); `ideal` switches all of them off.

    Parameters
    ----------
    tilt_angles_deg : sequence of float
        Nominal tilts, strictly increasing, between -90 and 90 (both excluded).
    scan_shape : (int, int)
        Pixels along y and x.
    pixel_size_nm : float
        Scan step, nm.
    beam_energy_kev, beam_current_na, dwell_time_s : float
        300 kV, 0.300 nA, 0.05 s (paper).
    convergence_angle_mrad, collection_angle_mrad : float
        25.2 and 100 mrad (paper).
    adf_angles_mrad : (float, float)
        Inner and outer edge of the annular detector, 100 and 200 mrad (paper).
    adf_efficiency : float
        Share of the electrons on the detector that is counted, 0.5 (ours; the paper gives none).
    plural_elastic : bool
        Electrons are scattered elastically any number of times, which puts more of them on the annular detector than
        the linear law says; off: once at most, so that the ADF signal is proportional to the matter along the ray.
    film_thickness_nm : float
        Carbon film under the particle, 4 nm (paper); it looks thicker by 1/cos t when tilted. 0: none.
    probe_fwhm_nm : float
        Gaussian probe, averaged over the depth of a particle: a 25 mrad cone focused on its middle is up to 5 nm wide
        at its ends (ours: 2.5 nm).
    drift_nm : float
        How far the specimen moves during one image, in a direction of its own each time (ours).
    misalignment_px : float
        Largest shift of an image along either axis, uniformly distributed (ours).
    axis_rotation_deg : float
        Angle from the y axis of the images to the real tilt axis (ours).
    tilt_error_deg : float
        Standard deviation of the real around the nominal tilt (ours).
    counting_noise : bool
        Poisson noise.
    repeats : bool
        Record zero tilt at the beginning, in the middle and at the end (paper); the middle one belongs to the series.
    signals : tuple of str
        Which signals to record: ``"adf"``, ``"eds"``, ``"eels"`` (both loss ranges). All by default; ADF alone takes
        seconds instead of a minute, so `ideal` and `tiny` record only that unless told otherwise.
    eds : Eds
        The X-ray detectors.
    eels : Eels
        The spectrometer in dual mode.

    Raises
    ------
    ValueError
        If the tilts are empty, repeated, unsorted or beyond 90 degrees, a dose is not positive, or a size is negative.

    Examples
    --------
    >>> paper = Acquisition()
    >>> f"{paper.electrons_per_pixel:.3g} {paper.dose_per_image_e_per_a2:.3g} {paper.dose_e_per_a2:.3g}"
    '9.36e+07 4.37e+04 6.55e+05'
    >>> paper.n_exposures, f"{paper.dose_with_repeats_e_per_a2:.3g}"
    (17, '7.43e+05')
    """

    tilt_angles_deg: tuple[float, ...] = constants.TILT_ANGLES_DEG
    scan_shape: tuple[int, int] = constants.SCAN_SHAPE
    pixel_size_nm: float = constants.SCAN_STEP_NM
    beam_energy_kev: float = constants.BEAM_ENERGY_KEV
    beam_current_na: float = constants.BEAM_CURRENT_NA
    dwell_time_s: float = constants.DWELL_TIME_S
    convergence_angle_mrad: float = constants.CONVERGENCE_ANGLE_MRAD
    collection_angle_mrad: float = constants.COLLECTION_ANGLE_MRAD
    adf_angles_mrad: tuple[float, float] = constants.ADF_ANGLES_MRAD
    adf_efficiency: float = 0.5
    plural_elastic: bool = True
    film_thickness_nm: float = 4.0
    probe_fwhm_nm: float = 2.5
    drift_nm: float = 1.5
    misalignment_px: float = 1.5
    axis_rotation_deg: float = 0.3
    tilt_error_deg: float = 0.1
    counting_noise: bool = True
    repeats: bool = True
    signals: tuple[str, ...] = ("adf", "eds", "eels")
    eds: Eds = field(default_factory=Eds)
    eels: Eels = field(default_factory=Eels)

    def __post_init__(self) -> None:
        angles = check_increasing(self.tilt_angles_deg, "tilt_angles_deg")
        if np.abs(angles).max() >= 90:
            steep = float(angles[np.abs(angles).argmax()])
            raise fail(
                "tilt_angles_deg",
                expected="angles between -90 and 90 degrees",
                got=f"{steep:g}",
                remedy="leave out tilts at which the film is seen edge-on",
            )
        object.__setattr__(self, "tilt_angles_deg", tuple(float(a) for a in angles))
        shape = tuple(int(n) for n in self.scan_shape)
        if len(shape) != 2 or min(shape) < 1:
            raise fail("scan_shape", expected="pixels along y and x", got=shape, remedy="give two positive integers")
        object.__setattr__(self, "scan_shape", shape)
        object.__setattr__(self, "signals", tuple(self.signals))
        for name in ("beam_current_na", "dwell_time_s"):
            check_positive(getattr(self, name), name, remedy=_DOSE)
        for name in ("pixel_size_nm", "beam_energy_kev"):
            check_positive(getattr(self, name), name)
        for name in ("film_thickness_nm", "probe_fwhm_nm", "drift_nm", "misalignment_px", "tilt_error_deg"):
            check_positive(getattr(self, name), name, remedy="give zero to switch it off, or its size", zero_ok=True)
        inner, outer = self.adf_angles_mrad
        if not 0 < inner < outer:
            raise fail(
                "adf_angles_mrad",
                expected="0 < inner < outer",
                got=self.adf_angles_mrad,
                remedy="give the inner angle first, in mrad",
            )
        if not 0 < self.adf_efficiency <= 1:
            raise fail(
                "adf_efficiency",
                expected="a share above 0 and up to 1",
                got=self.adf_efficiency,
                remedy="give counted over arriving electrons",
            )

    @classmethod
    def ideal(cls, **changes: Any) -> Self:
        """Return an ADF acquisition without any imperfection; `changes` set fields.

        Examples
        --------
        >>> Acquisition.ideal(drift_nm=2.0).counting_noise
        False
        """
        off: dict[str, Any] = dict.fromkeys(
            (
                "film_thickness_nm",
                "probe_fwhm_nm",
                "drift_nm",
                "misalignment_px",
                "axis_rotation_deg",
                "tilt_error_deg",
            ),
            0.0,
        )
        off |= {"plural_elastic": False, "counting_noise": False, "eds": Eds.ideal(), "eels": Eels.ideal()}
        off["signals"] = ("adf",)
        return cls(**{**off, **changes})

    @classmethod
    def tiny(cls, **changes: Any) -> Self:
        """Return a 16 x 16 ADF scan of the same field of view at five tilts, for first steps; `changes` set fields.

        Examples
        --------
        >>> Acquisition.tiny().scan_shape
        (16, 16)
        """
        small: dict[str, Any] = {
            "tilt_angles_deg": (-60.0, -30.0, 0.0, 30.0, 60.0),
            "scan_shape": (16, 16),
            "pixel_size_nm": 4 * constants.SCAN_STEP_NM,
            "misalignment_px": 0.4,
            "signals": ("adf",),
        }
        return cls(**{**small, **changes})

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed, checked again."""
        return replace(self, **changes)

    @property
    def n_tilts(self) -> int:
        """Number of tilts."""
        return len(self.tilt_angles_deg)

    @property
    def n_exposures(self) -> int:
        """Images taken: the tilts, and with repeats zero tilt before, after and (unless among the tilts) between."""
        if not self.repeats:
            return self.n_tilts
        return self.n_tilts + (2 if 0.0 in self.tilt_angles_deg else 3)

    @property
    def electrons_per_pixel(self) -> float:
        """Current times dwell time over the charge of an electron."""
        return self.beam_current_na * 1e-9 * self.dwell_time_s / constants.ELEMENTARY_CHARGE_C

    @property
    def dose_per_image_e_per_a2(self) -> float:
        """Electrons per pixel over the area of a pixel, e/Å²."""
        return self.electrons_per_pixel / (10 * self.pixel_size_nm) ** 2

    @property
    def dose_e_per_a2(self) -> float:
        """Dose of the tilt series without repeats, e/Å²."""
        return self.dose_per_image_e_per_a2 * self.n_tilts

    @property
    def dose_with_repeats_e_per_a2(self) -> float:
        """Dose of everything that was recorded, e/Å²."""
        return self.dose_per_image_e_per_a2 * self.n_exposures
