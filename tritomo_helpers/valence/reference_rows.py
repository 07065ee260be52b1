"""Reference spectra per atom: white lines and the continuum under them, in barn/eV."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._typing import Floats
from .._validation import check_increasing, checked, fail
from ..constants import BEAM_ENERGY_KEV, COLLECTION_ANGLE_MRAD, CONVERGENCE_ANGLE_MRAD, EDGE_ONSET_EV
from ..eels import low_pass
from ..spectroscopy import ReferenceSet, references
from ..spectroscopy import continuum as continuum_model

# White lines and their near tails: what a set must cover, relative to the onsets of L3 and L2.
_BELOW_L3_EV, _ABOVE_L2_EV = 2.0, 8.0


@checked
def atom_cross_sections(
    sets: ReferenceSet | Iterable[ReferenceSet],
    energy_ev: ArrayLike,
    *,
    continuum: str | Callable[..., Any] = "hydrogenic",
    cutoff_per_ev: float | None = None,
    beam_energy_kev: float = BEAM_ENERGY_KEV,
    convergence_angle_mrad: float = CONVERGENCE_ANGLE_MRAD,
    collection_angle_mrad: float = COLLECTION_ANGLE_MRAD,
) -> dict[str, Floats]:
    r"""Build the rows of H: what one atom of each valence state adds to an edge.

    .. math:: \sigma_s(E) = \sigma_\mathrm{hole}\, r_s(E) + \sigma_\mathrm{continuum}(E)

    with the references :math:`r_s` in holes per eV and the cross-section of one hole. The paper's references end at
    684.7 and 834.7 eV, below its own normalization windows; here they go on as continuum.

    Parameters
    ----------
    sets : ReferenceSet or iterable of them
        One per element. Your own are taken to be free of background and continuum; they are scaled to one hole per
        ionic hole in the mean over their states.
    energy_ev : array_like, shape (energy,)
        eV.
    continuum : str or callable, default ``"hydrogenic"``
        Model of :func:`tritomo_helpers.eels.continuum`.
    cutoff_per_ev : float, optional
        Low-pass filter as in :func:`tritomo_helpers.eels.low_pass`, so that rows and filtered edges compare.
    beam_energy_kev, convergence_angle_mrad, collection_angle_mrad : float
        The microscope.

    Returns
    -------
    dict of str to ndarray, shape (energy,)
        barn/eV/atom by state.

    Raises
    ------
    ValueError
        If a set does not cover the white lines of its element, or a state occurs twice.

    Examples
    --------
    >>> rows = atom_cross_sections(references.load("Mn"), [630.0, 642.6, 720.0])
    >>> list(rows), rows["Mn4"].round()
    (['Mn4', 'Mn3', 'Mn2'], array([  1., 141.,  28.]))
    """
    energy = check_increasing(energy_ev, "energy_ev")
    optics: dict[str, Any] = {
        "beam_energy_kev": beam_energy_kev,
        "convergence_angle_mrad": convergence_angle_mrad,
        "collection_angle_mrad": collection_angle_mrad,
    }
    rows: dict[str, Floats] = {}
    for given in [sets] if isinstance(sets, ReferenceSet) else list(sets):
        _check_cover(given)
        per_hole = references.white_line_cross_section(given.element, **optics)
        smooth = continuum_model(f"{given.element} L", energy, model=continuum, **optics)
        unit = 1.0 if given.name in references.SETS else float(np.mean(given.holes / given.areas))
        for state, lines in zip(given.states, given.on(energy), strict=True):
            if state in rows:
                raise fail(
                    "references", expected="each state once", got=f"{state} twice", remedy="drop one of the sets"
                )
            rows[state] = np.asarray(smooth + per_hole * unit * lines)
    if cutoff_per_ev is not None:
        step = float((energy[-1] - energy[0]) / (energy.size - 1))
        rows = {s: low_pass(row, dispersion_ev=step, cutoff_per_ev=cutoff_per_ev) for s, row in rows.items()}
    return rows


def _check_cover(given: ReferenceSet) -> None:
    low = EDGE_ONSET_EV[given.element, "L3"] - _BELOW_L3_EV
    high = EDGE_ONSET_EV[given.element, "L2"] + _ABOVE_L2_EV
    if given.energy_ev[0] > low or given.energy_ev[-1] < high:
        raise fail(
            f"references {given.name}",
            expected=f"the white lines of {given.element}, {low:g} to {high:g} eV",
            got=f"{given.energy_ev[0]:g} to {given.energy_ev[-1]:g} eV",
            remedy="measure a wider range, or correct the energy axis of the file",
        )
