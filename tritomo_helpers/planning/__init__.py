"""What an experiment can see, before anything is measured.

=====================  =========================================================
`forecast`             all of it in one call, as a table
`detectability`        clusters: signal over noise, recall, precision
`cluster_composition`  what such a cluster is made of
`shell_errors`         standard error of a valence state in every shell
`resolution`           what tilts and pixels resolve
`transmission`         which share of the X-rays leaves the particle
=====================  =========================================================

They take an `Acquisition` and the size of the particle, and are bounds and rules of thumb for round particles, checked
against simulations (product ``study/planning-check``), and no substitute for one.
"""

from .clusters import Detectability, cluster_composition, detectability, information_per_nm
from .forecast import Forecast, forecast
from .limits import Resolution, resolution, transmission
from .shells import ShellErrors, shell_errors

__all__ = [
    "Detectability",
    "Forecast",
    "Resolution",
    "ShellErrors",
    "cluster_composition",
    "detectability",
    "forecast",
    "information_per_nm",
    "resolution",
    "shell_errors",
    "transmission",
]
