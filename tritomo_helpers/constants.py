"""Numbers that the whole project shares, each with its source.

Edge onsets, the material and the published experiment. This is data; the formulas that use it live in
:mod:`tritomo_helpers.spectroscopy`, and the colors of the book in ``plotting.style``.
"""

from types import MappingProxyType
from typing import Final

# --- Physics -----------------------------------------------------------------------------------------------------
# CODATA 2018 (Tiesinga et al., Rev. Mod. Phys. 93, 025010, 2021).
ELECTRON_REST_ENERGY_KEV: Final = 510.99895
HC_KEV_NM: Final = 1.2398419843
"""Planck's constant times the speed of light."""
ELEMENTARY_CHARGE_C: Final = 1.602176634e-19
BOHR_RADIUS_NM: Final = 0.0529177210903
RYDBERG_EV: Final = 13.605693122994
FINE_STRUCTURE: Final = 7.2973525693e-3
AVOGADRO_PER_MOL: Final = 6.02214076e23
BARN_NM2: Final = 1e-10
"""One barn (1e-28 m²) in nm²."""

# --- Elements and their valence states -----------------------------------------------------------------------------
# Standard atomic weights, abridged: Prohaska et al., Pure Appl. Chem. 94, 573 (2022).
ATOMIC_NUMBER: Final = MappingProxyType(
    {"Li": 3, "C": 6, "O": 8, "F": 9, "Mn": 25, "Co": 27, "Ni": 28, "Cu": 29},
)
ATOMIC_WEIGHT_G_PER_MOL: Final = MappingProxyType(
    {"Li": 6.94, "C": 12.011, "O": 15.999, "F": 18.998, "Mn": 54.938, "Co": 58.933, "Ni": 58.693, "Cu": 63.546},
)
SPECIES_ELEMENT: Final = MappingProxyType(
    {
        "Li": "Li",
        "O": "O",
        "F": "F",
        "Mn4": "Mn",
        "Mn3": "Mn",
        "Mn2": "Mn",
        "Co3": "Co",
        "Co2": "Co",
        "Ni2": "Ni",
    },
)
"""Element of every species that the twin distinguishes; the digit is the formal valence."""

D_HOLES: Final = MappingProxyType({"Mn4": 7, "Mn3": 6, "Mn2": 5, "Co3": 4, "Co2": 3, "Ni2": 2})
"""Empty 3d orbitals of the free ion in an ionic picture: ten minus the number of 3d electrons."""

# --- Edges --------------------------------------------------------------------------------------------------------
# Onsets as drawn in EELS atlases: Ahn and Krivanek, EELS Atlas (1983), and the eXSpy/Gatan table. The L1 and K values
# agree with the binding energies of xraylib 4 to 0.4 eV.
EDGE_ONSET_EV: Final = MappingProxyType(
    {
        ("C", "K"): 284.0,
        ("O", "K"): 532.0,
        ("F", "K"): 685.0,
        ("Mn", "L3"): 640.0,
        ("Mn", "L2"): 651.0,
        ("Mn", "L1"): 769.0,
        ("Co", "L3"): 779.0,
        ("Co", "L2"): 794.0,
        ("Co", "L1"): 926.0,
        ("Ni", "L3"): 855.0,
        ("Ni", "L2"): 872.0,
        ("Ni", "L1"): 1008.0,
    },
)
"""Edge onsets in eV, by (element, shell)."""

# --- The material -------------------------------------------------------------------------------------------------
NCM111_FORMULA: Final = MappingProxyType({"Li": 1.0, "Mn": 1 / 3, "Co": 1 / 3, "Ni": 1 / 3, "O": 2.0})
NCM111_DENSITY_G_PER_CM3: Final = 4.77
"""X-ray density of LiNi1/3Co1/3Mn1/3O2 (Yabuuchi and Ohzuku, J. Power Sources 119-121, 171, 2003)."""
NCM111_MOLAR_MASS_G_PER_MOL: Final = sum(n * ATOMIC_WEIGHT_G_PER_MOL[el] for el, n in NCM111_FORMULA.items())
NCM111_FORMULA_UNITS_PER_NM3: Final = NCM111_DENSITY_G_PER_CM3 * AVOGADRO_PER_MOL / NCM111_MOLAR_MASS_G_PER_MOL * 1e-21
"""29.8 formula units per nm³: 9.93 atoms of each metal, 59.6 of oxygen."""
SPINEL_LATTICE_NM: Final = 0.8244
"""Cubic cell of LiMn2O4 by neutron diffraction: Igawa et al., JAEA (2010), 0.82442 nm."""
ROCK_SALT_LATTICE_NM: Final = (0.4446 + 0.4263 + 0.4178) / 3
"""Cubic cell of (Mn, Co, Ni)O in equal parts by Vegard's law: mean of MnO, CoO and NiO (Sasaki et al., Proc. Japan
Acad. B 55, 43, 1979)."""
NCM111_MEAN_FREE_PATH_NM: Final = 149.6
"""Inelastic, at 300 kV, 25.2 / 100 mrad: formula of Iakoubovskii et al., Microsc. Res. Tech. 71, 626 (2008)."""
NCM111_PLASMON_EV: Final = 23.5
"""Maximum of the low loss of layered NCM oxides: 22 to 24 eV elsewhere, 24.6 +- 0.8 in NMC_EELS_linescan_Jia."""
CARBON_FILM_DENSITY_G_PER_CM3: Final = 2.0
"""Amorphous carbon support film."""

# --- The published experiment ---------------------------------------------------------------------------------------
# "Correlative 3D Mapping of Structure, Composition, and Valence State Dynamics in Battery Cathodes via Simultaneous
# ADF-EDS-EELS Tomography", Methods. Channel width and detector geometry of the EDS are the vendor's; see the book.
BEAM_ENERGY_KEV: Final = 300.0
BEAM_CURRENT_NA: Final = 0.300
DWELL_TIME_S: Final = 0.05
SCAN_STEP_NM: Final = 4.63
SCAN_SHAPE: Final = (64, 64)
TILT_ANGLES_DEG: Final = tuple(float(angle) for angle in range(-70, 71, 10))
CONVERGENCE_ANGLE_MRAD: Final = 25.2
COLLECTION_ANGLE_MRAD: Final = 100.0
ADF_ANGLES_MRAD: Final = (100.0, 200.0)
EELS_CHANNELS: Final = 2048
EELS_DISPERSION_EV: Final = 0.15
LOW_LOSS_START_EV: Final = -30.0
CORE_LOSS_START_EV: Final = 600.0
EDS_CHANNELS: Final = 4096
EDS_CHANNEL_EV: Final = 10.0
EDS_SOLID_ANGLE_SR: Final = 0.7
EDS_ELEVATION_DEG: Final = 18.0
EDS_AZIMUTHS_DEG: Final = (45.0, 135.0, 225.0, 315.0)
SAME_ANGLE_DEG: Final = 0.05
"""What two channels may state of one tilt: the goniometer is read out anew for each."""
METAL_RICH_FRACTION: Final = 0.167
"""Atomic fraction above which a voxel counts as rich in a metal; rock salt of three metals has one sixth of each."""
