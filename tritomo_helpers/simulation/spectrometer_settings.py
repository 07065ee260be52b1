"""Settings of the two spectrometers."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .. import constants
from .._validation import check_count, check_flag, check_option, check_positive, check_range, check_share, fail
from .._validation import checked as kinds_checked
from ..spectroscopy import CONTINUUM_MODELS, REFERENCE_SETS, ReferenceSet, xray
from ..spectroscopy.detectors import Detectors
from ..spectroscopy.references import WHITE_LINE_EV_PER_HOLE

LOWEST_CORE_LOSS_EV = 250.0
"""Losses up to here are low-loss events, larger ones core losses. Core-loss spectra are built from here on, far below
their axis, because plural scattering carries counts upward."""


@dataclass(frozen=True)
class Eds:
    """The X-ray detectors; the defaults are a Super-X on the paper's microscope.

    Parameters
    ----------
    n_channels, channel_ev : int, float
        4096 channels (paper) of 10 eV (ours); channel i is centered at i x `channel_ev`.
    solid_angle_sr : float
        All detectors together; 0.7 sr of the 0.7 to 0.9 sr that are stated for four detectors of this kind.
    elevation_deg, azimuths_deg : float, sequence of float
        Where the detectors are, seen from the specimen: above the plane across the beam, towards the electron source;
        azimuth from the u axis to y.
    resolution_ev : float
        FWHM at Mn Kα, 130 eV.
    efficiency : float
        Counted over arriving photons: window, dead layer, live time. This knob and the dose set how well composition
        can be known; see Notes.
    horizon_deg : float
        Elevation above the tilted specimen plane under which the holder hides a detector. The share of a detector's
        round face above this horizon is its shadow curve.
    absorption, shadow, bremsstrahlung : bool
        Effects, on or off.
    line_efficiency : sequence of (str, float)
        Efficiency of single lines on top, such as ``(("O Ka", 0.9),)``; 1 for all others.
    stray_copper_per_nm2 : float
        Copper of grid and holder as a film that would give as many counts at every pixel (ours).

    Raises
    ------
    ValueError
        If a detector is behind the specimen, the channels have no width, or a share is not one.

    Notes
    -----
    Default efficiency 1.0 (ours): counts stay at their physical value. What they decide, on a homogeneous particle of
    the shape of cycled-200-1 (product composition/false-rich: linear fit of all lines, true alignment, tilt
    normalization, Gaussian of 1.2 pixels, GENFIRE with oversampling 2 and 200 iterations): error of a metal's voxel,
    and share of voxels above 16.7 at% if the mean of the metals is that before cycling, after 100 and after 200 cycles.

    ====== ========== ========== =========== ==========
    counts error, at% 11.2 at%   12.47 at%   13.0 at%
    ====== ========== ========== =========== ==========
    1x     1.41       0.12 %     0.41 %      0.80 %
    2x     0.99       0.03 %     0.11 %      0.18 %
    4x     0.70       0.00 %     0.01 %      0.02 %
    ====== ========== ========== =========== ==========

    The paper's rich fractions are 0.1 % after 100 and 0.2 to 0.5 % after 200 cycles: a mean that rises makes as many.
    With its own oversampling of 3 and 1000 iterations a pristine null already has 0.3 to 1 %. The solid angle is not
    in the paper; 0.7 to 0.9 sr are stated for such detectors, and 0.9 sr lowers 0.80 to about 0.5.

    Examples
    --------
    >>> Eds(n_channels=256).resolution_ev, Eds.ideal().absorption
    (130.0, False)
    """

    n_channels: int = constants.EDS_CHANNELS
    channel_ev: float = constants.EDS_CHANNEL_EV
    solid_angle_sr: float = constants.EDS_SOLID_ANGLE_SR
    elevation_deg: float = constants.EDS_ELEVATION_DEG
    azimuths_deg: tuple[float, ...] = constants.EDS_AZIMUTHS_DEG
    resolution_ev: float = 130.0
    efficiency: float = 1.0
    horizon_deg: float = 0.0
    absorption: bool = True
    shadow: bool = True
    bremsstrahlung: bool = True
    stray_copper_per_nm2: float = 100.0
    line_efficiency: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        _check_axis(self.n_channels, self.channel_ev, "channel_ev")
        check_positive(self.stray_copper_per_nm2, "stray_copper_per_nm2", zero_ok=True)
        check_share(self.efficiency, "efficiency", remedy="give counted over arriving photons")
        check_positive(self.resolution_ev, "resolution_ev", remedy="give the full width at Mn Ka in eV, such as 130")
        xray.detector_fwhm_ev(5.895, resolution_ev=self.resolution_ev)
        check_range(self.horizon_deg, "horizon_deg", -90, 90, remedy="give degrees above the specimen plane")
        for name in ("absorption", "shadow", "bremsstrahlung"):
            check_flag(getattr(self, name), name)
        object.__setattr__(self, "line_efficiency", _checked_lines(self.line_efficiency))
        object.__setattr__(self, "azimuths_deg", self.detectors.azimuths_deg)

    @property
    def detectors(self) -> Detectors:
        """Where the detectors stand: what the analysis may know."""
        return Detectors(
            elevation_deg=self.elevation_deg,
            azimuths_deg=self.azimuths_deg,
            solid_angle_sr=self.solid_angle_sr,
            horizon_deg=self.horizon_deg,
            shadowing=self.shadow,
        )

    @property
    def energy_ev(self) -> NDArray[np.float64]:
        """Channel centers, eV."""
        return np.asarray(np.arange(self.n_channels) * self.channel_ev)

    @classmethod
    def ideal(cls, **changes: Any) -> Self:
        """Return detectors without shadow, absorption, background and stray counts; `changes` set fields.

        Examples
        --------
        >>> Eds.ideal(efficiency=0.5).absorption
        False
        """
        off = {"absorption": False, "shadow": False, "bremsstrahlung": False, "stray_copper_per_nm2": 0.0}
        return cls(**{**off, **changes})

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed, checked again."""
        return replace(self, **changes)


@kinds_checked
@dataclass(frozen=True)
class Eels:
    """The spectrometer in dual mode and the physics that fills it; the defaults are the paper's GIF Quantum.

    Parameters
    ----------
    n_channels, dispersion_ev : int, float
        2048 channels of 0.15 eV (paper), both ranges.
    low_loss_start_ev, core_loss_start_ev : float
        First channel, -30 and 600 eV (paper).
    low_loss_share : float
        Share of the dwell spent on the low-loss range, 1 % (ours).
    efficiency : float
        Detected over arriving electrons: quantum efficiency and live time, 0.2 (ours). This knob sets the quality of
        the spectra; see Notes.
    gain : float
        Counts per detected electron.
    readout_noise : float
        Standard deviation of the readout, counts per channel and pixel. Counts below zero are real.
    zero_loss_fwhm_ev : float
        Source and spectrometer, 1.0 eV.
    zero_loss_tail : float
        Share of the zero-loss peak in Lorentzian tails (detector point spread), FWHM 1.5 eV.
    energy_drift_ev : float
        Standard deviation of the drift of both axes from pixel to pixel; it wanders over about 100 pixels and jitters
        by a tenth of that.
    plural_scattering : bool
        Every electron may lose energy more than once.
    elastic_loss : bool
        Electrons that atoms deflect beyond the collection angle are lost, 4 % of them behind 150 nm of NCM111.
    plasmon_ev, plasmon_width_ev : float
        Maximum and damping of the single low-loss event: 23.5 eV (measured for NCM oxides: 22 to 24) and 32 eV, which
        belong to free electrons at 28 eV and agree with a real line scan of NMC, see `losses.single_event`.
    mean_free_path_nm : float
        Of NCM111 at its X-ray density; other matter by mass. 149.6 nm.
    continuum : str
        Continuum model of the edges, one of ``spectroscopy.CONTINUUM_MODELS``.
    references : str or tuple of ReferenceSet
        White lines: one of ``spectroscopy.REFERENCE_SETS``, or your own sets, one per element.
    white_line_ev_per_hole : float
        Area of the white lines per 3d hole over the Dirac-Hartree-Slater step, 5.5 eV; known within a factor of
        1.5, see ``spectroscopy.references.WHITE_LINE_EV_PER_HOLE``.
    l1_step : bool
        L1 edges.
    core_offset_ev : float
        How much too high the core-loss axis reads where the low-loss axis is right, eV.
    dispersion_error : float
        True over nominal channel width, minus 1, about the zero loss and the first core-loss channel.
    exelfs : float
        Amplitude of the fine structure of the edges from 20 eV above their onset on, relative to the edge.
    nickel_shift_ev : float
        How far above their reference the white lines of nickel lie, eV.
    fluorine_per_nm2 : float
        F atoms per nm² wherever the particle is (a surface layer); puts F K on the Mn continuum. 0: none.
    counting_noise : bool
        Poisson noise and readout noise.

    Raises
    ------
    ValueError
        If an axis misses the zero-loss peak or an edge, has no width, or a setting is impossible.

    Notes
    -----
    At efficiency 1 a pixel of 150 nm has 470 background counts per channel before the Mn edge (560 with plural
    scattering) and 61 in the Mn continuum. With 0.2 it is 94 and 12: the continuum of one pixel and channel is about as
    large as its noise, the quality that the paper calls extremely low. What that means for the valence of one pixel
    is computed by `simulation.valence_bound`: no unbiased fit knows the share of Mn4+ there to better than 15 points.

    Examples
    --------
    >>> Eels(n_channels=512, dispersion_ev=0.6).core_loss_start_ev
    600.0
    """

    n_channels: int = constants.EELS_CHANNELS
    dispersion_ev: float = constants.EELS_DISPERSION_EV
    low_loss_start_ev: float = constants.LOW_LOSS_START_EV
    core_loss_start_ev: float = constants.CORE_LOSS_START_EV
    low_loss_share: float = 0.01
    efficiency: float = 0.2
    gain: float = 1.0
    readout_noise: float = 1.0
    zero_loss_fwhm_ev: float = 1.0
    zero_loss_tail: float = 0.03
    energy_drift_ev: float = 0.4
    plural_scattering: bool = True
    elastic_loss: bool = True
    plasmon_ev: float = constants.NCM111_PLASMON_EV
    plasmon_width_ev: float = 32.0
    mean_free_path_nm: float = constants.NCM111_MEAN_FREE_PATH_NM
    continuum: str = "hydrogenic"
    references: str | tuple[ReferenceSet, ...] = "crystal-field"
    white_line_ev_per_hole: float = WHITE_LINE_EV_PER_HOLE
    l1_step: bool = True
    core_offset_ev: float = 0.0
    dispersion_error: float = 0.0
    exelfs: float = 0.0
    nickel_shift_ev: float = 0.0
    fluorine_per_nm2: float = 0.0
    counting_noise: bool = True

    def __post_init__(self) -> None:  # noqa: C901  (a list of checks; in parts it would make every twin stale)
        _check_axis(self.n_channels, self.dispersion_ev, "dispersion_ev")
        for name in (
            "gain",
            "zero_loss_fwhm_ev",
            "plasmon_ev",
            "plasmon_width_ev",
            "mean_free_path_nm",
            "white_line_ev_per_hole",
        ):
            check_positive(getattr(self, name), name)
        for name in ("readout_noise", "energy_drift_ev", "fluorine_per_nm2"):
            check_positive(getattr(self, name), name, zero_ok=True)
        for name in ("efficiency", "low_loss_share"):
            check_share(getattr(self, name), name, remedy="give counted over arriving electrons")
        if check_positive(self.zero_loss_tail, "zero_loss_tail", zero_ok=True) >= 1:
            raise fail(
                "zero_loss_tail", expected="a share from 0 to below 1", got=self.zero_loss_tail, remedy="give a share"
            )
        for name in ("low_loss_start_ev", "core_loss_start_ev", "nickel_shift_ev"):
            check_range(getattr(self, name), name, -1e5, 1e5, remedy="give a number of eV")
        check_range(self.core_offset_ev, "core_offset_ev", -20, 20, remedy="give eV")
        check_range(self.dispersion_error, "dispersion_error", -0.05, 0.05, remedy="give a relative error")
        check_range(self.exelfs, "exelfs", 0, 0.5, remedy="give a relative amplitude, such as 0.05")
        for name in ("plural_scattering", "elastic_loss", "l1_step", "counting_noise"):
            check_flag(getattr(self, name), name)
        check_option(self.continuum, "continuum", CONTINUUM_MODELS)
        if isinstance(self.references, str):
            check_option(self.references, "references", REFERENCE_SETS)
        else:
            sets = tuple(self.references)
            for given in sets:
                if not isinstance(given, ReferenceSet):
                    raise fail(
                        "references",
                        expected="the name of a computed set, or ReferenceSet objects",
                        got=repr(given),
                        remedy="read your file with spectroscopy.references.read",
                    )
            object.__setattr__(self, "references", sets)
        length = self.n_channels * self.dispersion_ev
        if not self.low_loss_start_ev < 0 < self.low_loss_start_ev + length:
            raise fail(
                "low_loss_start_ev",
                expected="an axis that holds the zero-loss peak",
                got=f"{self.low_loss_start_ev:g} to {self.low_loss_start_ev + length:g} eV",
                remedy="start below 0, such as -30",
            )
        first, last = constants.EDGE_ONSET_EV["Mn", "L3"], constants.EDGE_ONSET_EV["Co", "L2"]
        start, stop = self.core_loss_start_ev, self.core_loss_start_ev + length
        if start > first - 10 or stop < last + 10:
            raise fail(
                "core-loss axis",
                expected=f"from 10 eV below the Mn L3 edge ({first:g} eV) to 10 eV above the Co L2 edge ({last:g} eV)",
                got=f"{start:g} to {stop:g} eV",
                remedy="start earlier (core_loss_start_ev=600) or take more or wider channels",
            )
        if start < LOWEST_CORE_LOSS_EV + 150:
            raise fail(
                "core_loss_start_ev",
                expected=f"at least {LOWEST_CORE_LOSS_EV + 150:g} eV: core losses are built from 250 eV on, and plural "
                "scattering needs 150 eV of them below the axis",
                got=f"{start:g}",
                remedy="start the core-loss axis later, such as at 600",
            )

    @property
    def low_loss_energy_ev(self) -> NDArray[np.float64]:
        """Channel centers of the low-loss range, eV."""
        return np.asarray(self.low_loss_start_ev + np.arange(self.n_channels) * self.dispersion_ev)

    @property
    def core_loss_energy_ev(self) -> NDArray[np.float64]:
        """Channel centers of the core-loss range, eV."""
        return np.asarray(self.core_loss_start_ev + np.arange(self.n_channels) * self.dispersion_ev)

    @property
    def built_from_ev(self) -> float:
        """Where the simulated core-loss spectrum begins, eV: a whole number of channels below the axis."""
        below = int(np.floor((self.core_loss_start_ev - LOWEST_CORE_LOSS_EV) / self.true_dispersion_ev))
        return self.core_loss_start_ev - below * self.true_dispersion_ev

    @property
    def true_dispersion_ev(self) -> float:
        """Width of a channel as it is, eV; the axes are labeled with `dispersion_ev`."""
        return self.dispersion_ev * (1 + self.dispersion_error)

    @classmethod
    def ideal(cls, **changes: Any) -> Self:
        """Return a spectrometer without noise, drift, tails, lost electrons and plural scattering.

        Examples
        --------
        >>> Eels.ideal(plural_scattering=True).efficiency
        1.0
        """
        off = {
            "efficiency": 1.0,
            "readout_noise": 0.0,
            "zero_loss_tail": 0.0,
            "energy_drift_ev": 0.0,
            "plural_scattering": False,
            "elastic_loss": False,
            "counting_noise": False,
        }
        return cls(**{**off, **changes})

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed, checked again."""
        return replace(self, **changes)


def _check_axis(n_channels: int, width_ev: float, name: str) -> None:
    if check_count(n_channels, "n_channels", remedy="give the number of channels") < 2:
        raise fail("n_channels", expected="at least two", got=n_channels, remedy="give the number of channels")
    check_positive(width_ev, name, remedy="give the width of a channel in eV: zero dispersion makes no axis")


def _checked_lines(efficiencies: tuple[tuple[str, float], ...]) -> tuple[tuple[str, float], ...]:
    pairs = efficiencies.items() if isinstance(efficiencies, Mapping) else efficiencies
    checked = []
    for name, value in pairs:
        element, _, line = str(name).partition(" ")
        check_option(line, f"line_efficiency: line of {element}", [known.name for known in xray.lines([element])])
        checked.append((str(name), check_positive(value, f"line_efficiency of {name}")))
    return tuple(checked)
