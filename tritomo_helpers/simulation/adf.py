"""The annular dark-field signal: elastic scattering of every pixel, support film, counting noise."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from .._typing import Floats
from ..phantoms import Phantom
from ..spectroscopy import elastic
from .rays import Exposure, element_maps, zone_share
from .settings import Acquisition


def scattered_share(maps: Mapping[str, Floats], acquisition: Acquisition, *, angle_deg: float) -> Floats:
    """Return the share of the beam that reaches the annular detector.

    Parameters
    ----------
    maps : mapping of str to array, shape (y, x)
        Atoms per nm² of each species, from `rays.species_maps`.
    acquisition : Acquisition
        Detector, film and whether electrons scatter more than once.
    angle_deg : float
        Tilt, under which the film looks thicker by 1/cos t.

    Returns
    -------
    ndarray, shape (y, x)
        ``spectroscopy.elastic.share_on_ring`` of what lies under each pixel; without `plural_elastic` the sum of ring
        cross-section times areal density.

    Examples
    --------
    >>> share = scattered_share({"Mn4": np.array([[1490.0]])}, Acquisition.ideal(), angle_deg=0)
    >>> round(float(share[0, 0]), 4)  # 150 nm of NCM111 hold that much Mn
    0.0072
    """
    optics = {
        "beam_energy_kev": acquisition.beam_energy_kev,
        "convergence_angle_mrad": acquisition.convergence_angle_mrad,
    }
    ring = acquisition.adf_angles_mrad
    atoms = element_maps(maps, acquisition, angle_deg=angle_deg)
    if acquisition.plural_elastic:
        return elastic.share_on_ring(atoms, angles_mrad=ring, **optics)
    once = (
        elastic.ring_cross_section_nm2(element, angles_mrad=ring, **optics) * areal for element, areal in atoms.items()
    )
    return np.asarray(sum(once))


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
        ``"adf_expected"``: the same without noise; ``"adf_gain"``: by what channeling multiplies it, a scalar.
    """
    gain = 1 + acquisition.channeling_gain * zone_share(acquisition, angle_deg=exposure.angle_deg)
    counted = acquisition.electrons_per_pixel * acquisition.adf_efficiency * gain
    expected = counted * scattered_share(maps, acquisition, angle_deg=exposure.angle_deg)
    counts = rng.poisson(expected) if acquisition.counting_noise else expected
    return {"adf": counts.astype(np.float32)}, {
        "adf_expected": expected.astype(np.float32),
        "adf_gain": np.asarray(gain),
    }
