"""From a volume to statements about a particle: shells, depth profiles, inhomogeneity, rich regions, verdicts.

Everything takes volumes (z, y, x) with NaN where nothing was measured, and shells: whole numbers, 0 outside the
particle, 1 at its surface. What noise alone would give stands beside what was measured: as a share that is subtracted,
as an interval, or as draws of a null.
"""

from ._shell_sums import independent_voxels
from .coupling import Coupling, coupling
from .inhomogeneity import Inhomogeneity, NullBand, inhomogeneity, null_band
from .phases import RockSalt, rock_salt
from .profiles import DepthProfile, StageProfile, average, depth_profile, true_profile
from .regions import RichRegions, rich_regions
from .shells import depth_shells, mean_depth_nm, otsu_mask, shells
from .verdicts import Verdict, depth_trend, segregated, verdict

__all__ = [
    "Coupling",
    "DepthProfile",
    "Inhomogeneity",
    "NullBand",
    "RichRegions",
    "RockSalt",
    "StageProfile",
    "Verdict",
    "average",
    "coupling",
    "depth_profile",
    "depth_shells",
    "depth_trend",
    "independent_voxels",
    "inhomogeneity",
    "mean_depth_nm",
    "null_band",
    "otsu_mask",
    "rich_regions",
    "rock_salt",
    "segregated",
    "shells",
    "true_profile",
    "verdict",
]
