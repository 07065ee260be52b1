"""What an experiment can see, before anything is measured.

================  ==============================================================
`detectability`   clusters: signal over noise, recall, precision
`resolution`      what tilts and pixels resolve
`transmission`    which share of the X-rays leaves the particle
================  ==============================================================

They take an `Acquisition` and the size of the particle, and are bounds and rules of thumb for round particles, checked
against simulations (product ``study/planning-check``), and no substitute for one.
"""

from .clusters import Detectability, detectability, information_per_nm
from .reach import Resolution, resolution, transmission

__all__ = [
    "Detectability",
    "Resolution",
    "detectability",
    "information_per_nm",
    "resolution",
    "transmission",
]
