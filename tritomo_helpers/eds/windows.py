"""Maps by windows, as vendors' programs make them: no model, and the overlaps stay in.

References
----------
Williams and Carter, Transmission Electron Microscopy, 2nd ed. (2009), chapter 35.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from .._typing import Floats
from .._validation import check_option, check_positive, checked, fail
from ..constants import BEAM_ENERGY_KEV
from ..containers import SpectrumTiltSeries
from ..spectroscopy import xray
from ._counts import Counts
from .lines import LineMaps, line_maps, project

MODES = ("integration", "net")


@checked
def integrate_windows(
    eds: SpectrumTiltSeries | ArrayLike,
    energy_ev: ArrayLike | None = None,
    *,
    elements: Sequence[str],
    mode: Literal["integration", "net"] = "integration",
    half_width_fwhm: float = 0.6,
    window_ev: tuple[float, float] = (350.0, 1200.0),
    resolution_ev: float = 130.0,
    beam_energy_kev: float = BEAM_ENERGY_KEV,
    progress: bool = False,
) -> LineMaps:
    r"""Sum the counts in a window around the main line of every element.

    Parameters
    ----------
    eds : SpectrumTiltSeries or array_like, shape (..., energy)
        Raw counts; numpy, memory map or Dask, read tilt by tilt.
    energy_ev : array_like, shape (energy,)
        Center of each channel, eV; for an array only.
    elements : sequence of str
        What to map.
    mode : {"integration", "net"}
        ``"integration"``: the sum, background and neighbors included. ``"net"``: less a straight line through the means
        of two flanks, each half as wide as the window; where lines overlap, the flanks lie on the neighbors.
    half_width_fwhm : float, default 0.6
        Half width of the window in units of the line's width (ours: vendors do not state theirs).
    window_ev : (float, float), default (350, 1200)
        Where to look for the main line.
    resolution_ev : float, default 130
        FWHM at Mn Kα.
    beam_energy_kev : float, default 300
        Decides which line is the main one.
    progress : bool, default False
        Show a progress bar.

    Returns
    -------
    LineMaps
        Without model; `fitted` is NaN. A window holds only part of its line, which k-factors absorb.

    Raises
    ------
    ValueError
        If an element has no line in range, a window leaves the axis, counts are negative or NaN, or a tilt is empty.

    Examples
    --------
    >>> energy = np.arange(0.0, 2560.0, 10.0)
    >>> counts = 500 * xray.line_shape(energy, xray.main_line("O").energy_kev)
    >>> round(float(integrate_windows(counts, energy, elements=["O"]).intensities["O"]))
    417
    """
    check_option(mode, "mode", MODES)
    half_width = check_positive(half_width_fwhm, "half_width_fwhm", remedy="give it in units of the line's width")
    counts = Counts.of(eds, energy_ev)
    rows = []
    for element in elements:
        line = xray.main_line(element, window_ev=window_ev, beam_energy_kev=beam_energy_kev)
        half_ev = half_width * float(xray.detector_fwhm_ev(line.energy_kev, resolution_ev=resolution_ev))
        rows.append(_window(counts.energy_ev, line.energy_kev * 1e3, half_ev, net=mode == "net"))
    projector = np.stack(rows)
    spectrum = counts.summed()
    amplitudes, covariance = project(counts, projector, n_elements=len(rows), progress=progress)
    return line_maps(
        counts,
        dict(zip(elements, amplitudes, strict=True)),
        covariance,
        elements=tuple(elements),
        projector=projector,
        model=None,
        spectrum=spectrum,
        fitted=np.full(spectrum.size, np.nan),
        choices={"method": f"windows, {mode}", "half_width_fwhm": half_width, "resolution_ev": resolution_ev},
    )


def _window(energy_ev: Floats, center_ev: float, half_ev: float, *, net: bool) -> Floats:
    """Weight of every channel, channels at the ends of the window shared."""
    step = (energy_ev[-1] - energy_ev[0]) / (energy_ev.size - 1)
    reach = 2 * half_ev if net else half_ev
    if center_ev - reach < energy_ev[0] - step / 2 or center_ev + reach > energy_ev[-1] + step / 2:
        raise fail(
            "half_width_fwhm",
            expected=f"windows inside {energy_ev[0]:g} to {energy_ev[-1]:g} eV",
            got=f"{center_ev - reach:.0f} to {center_ev + reach:.0f} eV",
            remedy="take narrower windows or leave the element out",
        )

    def share(low: float, high: float) -> Floats:
        covered = np.minimum(energy_ev + step / 2, high) - np.maximum(energy_ev - step / 2, low)
        return np.asarray(np.clip(covered / step, 0, 1))

    inside = share(center_ev - half_ev, center_ev + half_ev)
    if not net:
        return inside
    flanks = share(center_ev - 2 * half_ev, center_ev - half_ev) + share(center_ev + half_ev, center_ev + 2 * half_ev)
    return np.asarray(inside - flanks * inside.sum() / flanks.sum())
