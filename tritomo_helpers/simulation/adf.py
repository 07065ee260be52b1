"""The annular dark-field signal: Z contrast, thickness, support film, counting noise."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from .. import constants
from .._typing import Floats
from ..phantoms import Phantom
from .rays import Exposure
from .settings import Acquisition

# Mn anchors the scale: its cross-section is that of Rutherford, every other element follows Z^gamma from there.
ANCHOR = "Mn"


def annular_cross_section_nm2(element: str, acquisition: Acquisition) -> float:
    r"""Cross-section of one atom for scattering onto the annular detector, nm².

    .. math::
        \sigma_Z = \sigma_{25} (Z/25)^\gamma, \qquad
        \sigma_{25} = \frac{4\pi \gamma_r^2\, 25^2}{a_0^2 k^4} \left(\frac{1}{\beta_1^2} - \frac{1}{\beta_2^2}\right)

    Rutherford scattering between the angles of the detector, with :math:`\gamma_r` the relativistic mass factor, k the
    wave number and a_0 the Bohr radius. Screening by the electrons would take 3 to 5 % off beyond 100 mrad, thermal
    diffuse scattering and channeling are left out: the scale of a real detector is unknown by more than that.

    Parameters
    ----------
    element : str
        Symbol, such as ``"Mn"``.
    acquisition : Acquisition
        Beam energy, detector angles and gamma.

    Returns
    -------
    float

    References
    ----------
    Reimer and Kohl, Transmission Electron Microscopy, 5th ed. (2008), ch. 5.

    Examples
    --------
    >>> f"{annular_cross_section_nm2('Mn', Acquisition()):.2g}"
    '5.1e-06'
    """
    rest, energy = constants.ELECTRON_REST_ENERGY_KEV, acquisition.beam_energy_kev
    mass_factor = 1 + energy / rest
    # hbar c = 0.19732698 keV nm
    wave_number = np.sqrt(energy * (energy + 2 * rest)) / 0.1973269804
    inner, outer = (angle * 1e-3 for angle in acquisition.adf_angles_mrad)
    z = constants.ATOMIC_NUMBER
    rutherford = 4 * np.pi * (mass_factor * z[ANCHOR] / constants.BOHR_RADIUS_NM) ** 2 / wave_number**4
    rutherford *= inner**-2 - outer**-2
    return float(rutherford * (z[element] / z[ANCHOR]) ** acquisition.adf_exponent)


def scattered_share(maps: Mapping[str, Floats], acquisition: Acquisition, *, angle_deg: float) -> Floats:
    """Return the share of the beam that reaches the annular detector.

    Parameters
    ----------
    maps : mapping of str to array, shape (y, x)
        Atoms per nm² of each species, from `rays.species_maps`.
    acquisition : Acquisition
        Detector, film and whether the signal saturates.
    angle_deg : float
        Tilt, under which the film looks thicker by 1/cos t.

    Returns
    -------
    ndarray, shape (y, x)
        1 - exp(-x) with x = sum of cross-section times areal density, or x itself without saturation.

    Examples
    --------
    >>> share = scattered_share({"Mn4": np.array([[1490.0]])}, Acquisition.ideal(), angle_deg=0)
    >>> round(float(share[0, 0]), 4)  # 150 nm of NCM111 hold that much Mn
    0.0076
    """
    scattering = sum(
        annular_cross_section_nm2(constants.SPECIES_ELEMENT[name], acquisition) * areal for name, areal in maps.items()
    )
    film = acquisition.film_thickness_nm / np.cos(np.deg2rad(angle_deg))
    weight = constants.ATOMIC_WEIGHT_G_PER_MOL["C"]
    carbon_per_nm3 = constants.CARBON_FILM_DENSITY_G_PER_CM3 * constants.AVOGADRO_PER_MOL / weight * 1e-21
    total = np.asarray(scattering + film * carbon_per_nm3 * annular_cross_section_nm2("C", acquisition))
    return -np.expm1(-total) if acquisition.saturation else total


def detect(
    maps: Mapping[str, Floats],
    exposure: Exposure,
    phantom: Phantom,  # noqa: ARG001 - every detector has the same arguments; this one needs the maps alone
    acquisition: Acquisition,
    *,
    rng: np.random.Generator,
) -> tuple[dict[str, NDArray[np.float32]], dict[str, NDArray[np.float32]]]:
    """Record one annular dark-field image.

    Parameters
    ----------
    maps : mapping of str to array, shape (y, x)
        Atoms per nm² of each species.
    exposure : Exposure
        Supplies the true tilt.
    phantom : Phantom
        Not used.
    acquisition : Acquisition
        Dose, detector and which effects are on.
    rng : numpy.random.Generator
        Counting noise.

    Returns
    -------
    counts : dict
        ``"adf"``: counted electrons per pixel, shape (y, x).
    truth : dict
        ``"adf_expected"``: the same without noise.
    """
    counted = acquisition.electrons_per_pixel * acquisition.adf_efficiency
    expected = counted * scattered_share(maps, acquisition, angle_deg=exposure.angle_deg)
    counts = rng.poisson(expected) if acquisition.counting_noise else expected
    return {"adf": counts.astype(np.float32)}, {"adf_expected": expected.astype(np.float32)}
