"""The settings of a simulated acquisition and the dose they amount to."""

from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from .. import constants
from .._validation import (
    check_count,
    check_flag,
    check_increasing,
    check_option,
    check_positive,
    check_range,
    check_share,
    fail,
)
from ..spectroscopy import xray
from .mismatches import MISMATCHES
from .spectrometer_settings import Eds, Eels

SIGNALS = ("adf", "eds", "eels")
"""What can be recorded."""

_STEEPEST_DEG = 85
_DOSE = "give a number above zero: a dose cannot be negative or nothing"


@dataclass(frozen=True)
class Acquisition:
    """How a tilt series is taken; the defaults are the published experiment.

    Every imperfection can be switched off by setting it to zero (or False); `ideal` switches all of them off.

    Parameters
    ----------
    tilt_angles_deg : sequence of float
        Nominal tilts, strictly increasing, from -85 to 85: at 85 degrees the film is 11 times as thick.
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
    beam_broadening : bool
        Scattering widens the probe on its way down: behind 200 nm, 7 % of what a pixel sees lies more than 4.63 nm
        aside.
    drift_nm : float
        How far the specimen moves during one image, in a direction of its own each time (ours).
    misalignment_px : float
        Largest shift of an image along either axis, uniformly distributed (ours).
    axis_rotation_deg : float
        Angle from the y axis of the images to the real tilt axis (ours).
    tilt_error_deg : float
        Standard deviation of the real around the nominal tilt (ours).
    critical_dose_e_per_a2 : float
        Dose that reduces 63 % of the surface's Mn4+, Mn3+ and Co3+ and takes oxygen along, see `simulation.damage`;
        infinite by default: no damage.
    zone_tilts_deg : sequence of float
        Tilts at which the particle stands on a low-index zone axis; none by default. There ADF is brighter by
        `channeling_gain` and the X-rays of oxygen change by `channeling_oxygen` relative to the metals.
    channeling_gain, channeling_oxygen, zone_width_deg : float
        0.33, -0.03 (multislice of 80 nm: +0.26 to 0.39, -0.03), and the full width of a zone, 2 degrees (ours).
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
        If the tilts are empty, repeated, unsorted or beyond 85 degrees, a dose is not positive, a size is negative, a
        setting is no number (text, NaN) where one is needed, or settings contradict each other.

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
    beam_broadening: bool = True
    drift_nm: float = 1.5
    misalignment_px: float = 1.5
    axis_rotation_deg: float = 0.3
    tilt_error_deg: float = 0.1
    critical_dose_e_per_a2: float = np.inf
    zone_tilts_deg: tuple[float, ...] = ()
    channeling_gain: float = 0.33
    channeling_oxygen: float = -0.03
    zone_width_deg: float = 2.0
    counting_noise: bool = True
    repeats: bool = True
    signals: tuple[str, ...] = SIGNALS
    eds: Eds = field(default_factory=Eds)
    eels: Eels = field(default_factory=Eels)

    def __post_init__(self) -> None:
        self._check_scan()
        self._check_optics()
        for name in ("film_thickness_nm", "probe_fwhm_nm", "drift_nm", "misalignment_px", "tilt_error_deg"):
            check_positive(getattr(self, name), name, remedy="give zero to switch it off, or its size", zero_ok=True)
        check_range(self.axis_rotation_deg, "axis_rotation_deg", -45, 45, remedy="give degrees from the y axis")
        if self.critical_dose_e_per_a2 != np.inf:
            check_positive(self.critical_dose_e_per_a2, "critical_dose_e_per_a2", remedy=_DOSE)
        if len(self.zone_tilts_deg):
            zones = check_increasing(self.zone_tilts_deg, "zone_tilts_deg")
            object.__setattr__(self, "zone_tilts_deg", tuple(float(zone) for zone in zones))
        for name in ("channeling_gain", "channeling_oxygen"):
            check_range(getattr(self, name), name, -0.99, 10, remedy="give a relative change, such as 0.3")
        check_positive(self.zone_width_deg, "zone_width_deg")
        for name in ("plural_elastic", "beam_broadening", "counting_noise", "repeats"):
            check_flag(getattr(self, name), name)
        self._check_signals()

    def _check_scan(self) -> None:
        angles = check_increasing(self.tilt_angles_deg, "tilt_angles_deg")
        steep = float(angles[np.abs(angles).argmax()])
        if abs(steep) > _STEEPEST_DEG:
            raise fail(
                "tilt_angles_deg",
                expected=f"angles from -{_STEEPEST_DEG} to {_STEEPEST_DEG} degrees",
                got=f"{steep:g}",
                remedy="leave out tilts at which the film is seen edge-on",
            )
        object.__setattr__(self, "tilt_angles_deg", tuple(float(a) for a in angles))
        if np.shape(self.scan_shape) != (2,):
            raise fail(
                "scan_shape",
                expected="pixels along y and x",
                got=repr(self.scan_shape),
                remedy="give two positive integers",
            )
        shape = tuple(check_count(n, "scan_shape", remedy="give two positive integers") for n in self.scan_shape)
        object.__setattr__(self, "scan_shape", shape)
        check_positive(self.pixel_size_nm, "pixel_size_nm")
        for name in ("beam_current_na", "dwell_time_s"):
            check_positive(getattr(self, name), name, remedy=_DOSE)

    def _check_optics(self) -> None:
        check_positive(self.beam_energy_kev, "beam_energy_kev", remedy="give it in keV, such as 300")
        cone = check_positive(self.convergence_angle_mrad, "convergence_angle_mrad", zero_ok=True)
        collected = check_positive(self.collection_angle_mrad, "collection_angle_mrad")
        if np.shape(self.adf_angles_mrad) != (2,):
            raise fail(
                "adf_angles_mrad",
                expected="an inner and an outer angle",
                got=repr(self.adf_angles_mrad),
                remedy="give two numbers, in mrad",
            )
        inner, outer = (check_positive(angle, "adf_angles_mrad") for angle in self.adf_angles_mrad)
        object.__setattr__(self, "adf_angles_mrad", (inner, outer))
        if inner >= outer:
            raise fail(
                "adf_angles_mrad",
                expected="0 < inner < outer",
                got=self.adf_angles_mrad,
                remedy="give the inner angle first, in mrad",
            )
        if cone > min(inner, collected):
            raise fail(
                "convergence_angle_mrad",
                expected=f"a cone that fits into both apertures, up to {min(inner, collected):g} mrad",
                got=f"{cone:g}",
                remedy="reduce it, or open the annular detector and the spectrometer",
            )
        check_share(self.adf_efficiency, "adf_efficiency", remedy="give counted over arriving electrons")

    def _check_signals(self) -> None:
        given: Any = self.signals
        if isinstance(given, str):
            raise fail(
                "signals",
                expected="a sequence of names",
                got=repr(given),
                remedy=f"write ({given!r},) with the comma",
            )
        signals = tuple(given)
        if not signals:
            raise fail("signals", expected="at least one signal", got="none", remedy=f"choose among {list(SIGNALS)}")
        for signal in signals:
            check_option(signal, "signals", SIGNALS)
        object.__setattr__(self, "signals", signals)
        for name, kind in (("eds", Eds), ("eels", Eels)):
            if not isinstance(getattr(self, name), kind):
                raise fail(
                    name,
                    expected=f"settings of class {kind.__name__}",
                    got=repr(getattr(self, name)),
                    remedy=f"build them with simulation.{kind.__name__}(...)",
                )
        if "eds" in signals:
            self._check_xrays()

    def _check_xrays(self) -> None:
        # The hardest line of the simulation needs the fastest electrons.
        xray.ionization_cross_section("Cu", "K", beam_energy_kev=self.beam_energy_kev)
        for angle in self.tilt_angles_deg:
            if not np.any(self.eds.detectors.shadow(angle) > 0):
                raise fail(
                    "eds",
                    expected="at least one detector that sees the specimen at every tilt",
                    got=f"none at {angle:g} degrees",
                    remedy="lower horizon_deg, leave this tilt out, or set shadow=False",
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
        off |= {
            "plural_elastic": False,
            "beam_broadening": False,
            "counting_noise": False,
            "eds": Eds.ideal(),
            "eels": Eels.ideal(),
        }
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

    @classmethod
    def mismatched(cls, name: str, *, base: Self | None = None, **changes: Any) -> Self:
        """Return an acquisition with one thing that the analysis does not model.

        Parameters
        ----------
        name : str
            One of ``simulation.MISMATCHES``: ``"axis-offset"``, ``"dispersion"``, ``"channeling"``,
            ``"reference-shape"``, ``"exelfs"``, ``"nickel-line"`` or ``"line-efficiency"``.
        base : Acquisition, optional
            What to change; the published experiment by default. Mismatches add up when the result is the next base.
        **changes
            Further settings.

        Raises
        ------
        ValueError
            If there is no such mismatch.

        Examples
        --------
        >>> Acquisition.mismatched("exelfs").eels.exelfs, Acquisition().eels.exelfs
        (0.05, 0.0)
        """
        mismatch = MISMATCHES[check_option(name, "mismatch", MISMATCHES)]
        start = cls() if base is None else base
        return start.replace(
            **{
                **mismatch.acquisition,
                "eds": start.eds.replace(**mismatch.eds),
                "eels": start.eels.replace(**mismatch.eels),
                **changes,
            }
        )

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
