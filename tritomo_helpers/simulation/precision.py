"""How well one pixel's spectrum can tell valence, whatever the fit: the Cramér-Rao bound."""

from collections.abc import Mapping

import numpy as np

from .._typing import Floats
from .._validation import check_positive, checked, fail
from ..constants import NCM111_FORMULA_UNITS_PER_NM3
from . import eels
from .rays import film_atoms_per_nm2
from .settings import Acquisition

#: The pristine stage.
_SHARES = {"Mn": {"Mn4": 0.845, "Mn3": 0.04, "Mn2": 0.115}, "Co": {"Co3": 0.80, "Co2": 0.20}}


@checked
def valence_bound(
    acquisition: Acquisition | None = None,
    *,
    thickness_nm: float = 150.0,
    shares: Mapping[str, Mapping[str, float]] | None = None,
) -> dict[str, float]:
    r"""Return the smallest standard error of each state's share that an unbiased fit of one pixel can reach.

    .. math:: F_{ij} = \sum_c \frac{\partial_i \lambda_c\, \partial_j \lambda_c}{\lambda_c + r^2}, \qquad
              \mathrm{Var}(s) \ge J F^{-1} J^\top

    with the expected counts λ of channel c, readout noise r, and the Jacobian J of the shares s. What is fitted: the
    amount of each state and of nickel, shapes known, and two terms for all that is not a metal (as it is, and tilted
    along the energy axis).

    Parameters
    ----------
    acquisition : Acquisition, optional
        Dose and spectrometer; the published experiment by default.
    thickness_nm : float, default 150
        Of NCM111, on the film of `acquisition`.
    shares : mapping of str to mapping of str to float, optional
        Element to state to share, summing to 1 for each element. Default: those of the pristine particles.

    Returns
    -------
    dict of str to float
        State to standard error, percent points.

    Raises
    ------
    ValueError
        If the thickness is not positive, or shares do not sum to 1.

    Notes
    -----
    Drift, wrong references and a background of another shape come on top.

    References
    ----------
    Van Aert, den Dekker, Van Dyck, van den Bos, J. Struct. Biol. 138, 21 (2002).

    Examples
    --------
    >>> {state: round(error) for state, error in valence_bound().items()}
    {'Mn4': 15, 'Mn3': 22, 'Mn2': 12, 'Co3': 27, 'Co2': 27}
    """
    acquisition = Acquisition() if acquisition is None else acquisition
    thickness_nm = check_positive(thickness_nm, "thickness_nm")
    wanted = _SHARES if shares is None else shares
    for element, states in wanted.items():
        if abs(sum(states.values()) - 1) > 1e-6 or min(states.values()) < 0:
            raise fail(
                f"shares of {element}", expected="shares that sum to 1", got=dict(states), remedy="divide by their sum"
            )
    metal = NCM111_FORMULA_UNITS_PER_NM3 / 3 * thickness_nm
    maps: dict[str, Floats] = {"O": np.array([6 * metal]), "Li": np.array([3 * metal]), "Ni2": np.array([metal])}
    maps |= {s: np.array([metal * share]) for states in wanted.values() for s, share in states.items()}
    path = eels.mass_thickness(maps, acquisition, angle_deg=0.0)
    collected = float(eels.share_collected(maps, acquisition, angle_deg=0.0)[0])
    scale = collected * acquisition.eels.efficiency

    def counts(**atoms: float) -> Floats:
        areal = {name: np.array([value]) for name, value in atoms.items()}
        expected = eels.expected_spectra(areal, path, np.zeros(1), acquisition, core=True)
        return np.asarray(scale * expected[0], dtype=np.float64)

    film = film_atoms_per_nm2(acquisition, angle_deg=0.0)
    background = counts(O=6 * metal, Li=3 * metal, C=film)
    energy = acquisition.eels.core_loss_energy_ev
    metals = {name: counts(**{name: metal}) for name in maps if name not in ("O", "Li")}
    columns = np.stack([*metals.values(), background, background * (energy / energy.mean() - 1)])
    total = background + sum(float(maps[name][0]) / metal * spectrum for name, spectrum in metals.items())
    covariance = np.linalg.inv((columns / (total + acquisition.eels.readout_noise**2)) @ columns.T)
    names = list(metals)
    bound = {}
    for states in wanted.values():
        at = [names.index(state) for state in states]
        for state, share in states.items():
            gradient = np.array([float(s == state) - share for s in states])  # of a share at amounts that sum to one
            bound[state] = 100 * float(np.sqrt(gradient @ covariance[np.ix_(at, at)] @ gradient))
    return bound
