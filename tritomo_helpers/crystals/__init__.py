"""The three crystal structures of the story: their atomic-resolution ADF images and their X-ray powder patterns.

Layered, spinel and rock salt share one close-packed frame of oxygen. They differ in which gaps the metals fill, and an
ADF image, bright where heavy atoms stack into columns, shows that at a glance. The image model is incoherent: each
column is a point that scatters in proportion to the sum of Z^gamma of its atoms, blurred by the probe. Channeling,
tilt, strain and amorphous surfaces are left out, so that the pictures teach the structures and nothing else; they are
no substitute for a multislice simulation when intensities are to be measured.
"""

from .diffraction import CU_K_ALPHA_NM, PowderLines, powder_lines, powder_pattern, scattering_factor
from .imaging import adf_image, detect, layer_profile, probe_transfer
from .structures import Crystal, crystal, layer_spacing_nm, projected_atoms

__all__ = [
    "CU_K_ALPHA_NM",
    "Crystal",
    "PowderLines",
    "adf_image",
    "crystal",
    "detect",
    "layer_profile",
    "layer_spacing_nm",
    "powder_lines",
    "powder_pattern",
    "probe_transfer",
    "projected_atoms",
    "scattering_factor",
]
