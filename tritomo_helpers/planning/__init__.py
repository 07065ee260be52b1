"""What an experiment can see, before anything is measured.

================  ==============================================================
`detectability`   clusters: signal over noise, recall, precision
`shell_errors`    standard error of a valence state in every shell
`resolution`      what tilts and pixels resolve
`transmission`    which share of the X-rays leaves the particle
================  ==============================================================

They take an `Acquisition` and the size of the particle, and are bounds and rules of thumb for round particles, checked
against simulations (product ``study/planning-check``), and no substitute for one.
"""

from .clusters import Detectability, detectability, information_per_nm
from .reach import Resolution, resolution, transmission
from .shells import ShellErrors, shell_errors

__all__ = [
    "Detectability",
    "Resolution",
    "ShellErrors",
    "detectability",
    "information_per_nm",
    "resolution",
    "shell_errors",
    "transmission",
]
