r"""X-rays from a thin specimen: how many, at which energies, how wide, how strongly absorbed.

The number of photons of one line into a solid angle Ω, from N electrons through n t atoms per area, is

.. math:: I = N\, n t\; \sigma_\mathrm{ion}\, \omega\, r\; \frac{\Omega}{4\pi}

with the ionization cross-section σ of the shell (vacancies moved by Coster-Kronig transitions included), its
fluorescence yield ω and the share r of the line among the shell's radiative transitions.
"""

from .detection import detector_fwhm_ev, line_shape
from .lines import (
    F23,
    XrayLine,
    emission_cross_section,
    ionization_cross_section,
    lines,
    main_line,
    vacancy_cross_section,
)
from .matter import atomic_weight, bremsstrahlung_cross_section, mass_absorption, mass_absorption_of

__all__ = [
    "F23",
    "XrayLine",
    "atomic_weight",
    "bremsstrahlung_cross_section",
    "detector_fwhm_ev",
    "emission_cross_section",
    "ionization_cross_section",
    "line_shape",
    "lines",
    "main_line",
    "mass_absorption",
    "mass_absorption_of",
    "vacancy_cross_section",
]
