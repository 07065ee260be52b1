r"""How well the valence of every shell can be known: the Cramér-Rao bound of a round particle.

.. math:: F_{jk} = n_t \sum_p \frac{\ell_j \ell_k}{\ell^2\, \sigma^2(\ell)}

over the pixels p of one tilt, with the paths through shell j and through the particle, and the bound σ of the share of
a state at a pixel of path ℓ (`simulation.valence_bound`).

References
----------
Rao, Bull. Calcutta Math. Soc. 37, 81 (1945).
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .._typing import Floats
from .._validation import check_option, check_positive, checked, fail
from ..simulation import Acquisition, valence_bound

_STATES = ("Mn4", "Mn3", "Mn2", "Co3", "Co2")


@dataclass(frozen=True, eq=False)
class ShellErrors:
    """Standard errors of the share of one valence state, percent points.

    Parameters
    ----------
    depth_nm : ndarray, shape (shell,)
        Middle of each shell.
    error : ndarray, shape (shell,)
        Each shell for itself, whatever its neighbors do.
    particle : float
        Of the mean of the particle.
    pixel : float
        Of one pixel in the middle, at one tilt.
    """

    depth_nm: Floats
    error: Floats
    particle: float
    pixel: float


@checked
def shell_errors(
    acquisition: Acquisition, *, particle_nm: float, state: str = "Mn4", shell_nm: float = 9.26
) -> ShellErrors:
    """Return how well counting lets the valence of every shell be known.

    Parameters
    ----------
    acquisition : Acquisition
        Dose, tilts, pixels and spectrometer.
    particle_nm : float
        Diameter of a round particle.
    state : {"Mn4", "Mn3", "Mn2", "Co3", "Co2"}
    shell_nm : float, default 9.26
        Thickness of a shell. Thinner ones are known less well than in proportion: two neighbors are hard to tell apart.

    Returns
    -------
    ShellErrors

    Raises
    ------
    ValueError
        If a size is not positive, or the shells are thicker than the particle's radius.

    Notes
    -----
    For shares that depend on depth alone. Errors of references, density and alignment come on top.

    Examples
    --------
    >>> plan = shell_errors(Acquisition(), particle_nm=170.0)
    >>> bool(plan.particle < plan.error[0] < plan.error[-1] < plan.pixel)
    True
    """
    radius = check_positive(particle_nm, "particle_nm") / 2
    check_option(state, "state", _STATES)
    thickness = check_positive(shell_nm, "shell_nm")
    if thickness >= radius:
        raise fail("shell_nm", expected=f"less than the radius {radius:g}", got=thickness, remedy="take thinner shells")
    n_shells = int(radius // thickness)
    outer = radius - thickness * np.arange(n_shells)
    inner = np.append(outer[1:], 0.0)  # the last one is the core, with what is left
    r = (np.arange(400) + 0.5) / 400 * radius
    half = np.sqrt(np.maximum(np.append(outer, 0.0)[:, None] ** 2 - r**2, 0))
    paths = 2 * (half[:-1] - half[1:])
    path = paths.sum(axis=0)
    known, bounds = _bounds(acquisition, radius)
    of_state = bounds[:, _STATES.index(state)]
    sigma = np.exp(np.interp(np.log(path), np.log(known), np.log(of_state)))
    pixels = 2 * np.pi * r * (r[1] - r[0]) / acquisition.pixel_size_nm**2 * len(acquisition.tilt_angles_deg)
    share = paths / path
    covariance = np.linalg.inv((share * (pixels / sigma**2)) @ share.T)
    volume = outer**3 - inner**3
    weight = volume / volume.sum()
    return ShellErrors(
        radius - (outer + inner) / 2,
        np.sqrt(np.diag(covariance)),
        float(np.sqrt(weight @ covariance @ weight)),
        float(of_state[-1]),
    )


@lru_cache(maxsize=16)
def _bounds(acquisition: Acquisition, radius_nm: float) -> tuple[Floats, Floats]:
    """Return paths through a particle, nm, and the bound of every state there, shape (path, state)."""
    known = np.geomspace(radius_nm / 10, 2 * radius_nm, 4)
    bounds = [valence_bound(acquisition, thickness_nm=float(path)) for path in known]
    return known, np.array([[bound[state] for state in _STATES] for bound in bounds])
