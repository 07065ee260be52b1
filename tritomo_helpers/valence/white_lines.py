"""From weights of reference spectra to shares of atoms: normalization by white lines and 3d holes.

References
----------
The paper's Methods; Pearson, Ahn and Fultz, Phys. Rev. B 47, 8471 (1993), for white lines against 3d holes.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from .._typing import Floats
from .._validation import check_option, check_positive, checked, fail
from ..constants import EDGE_ONSET_EV, SPECIES_ELEMENT
from ..containers import TiltSeries, Tomogram
from ..spectroscopy import ReferenceSet
from .reference_rows import atom_cross_sections

WHITE_LINE_WINDOWS_EV: Final = {"Mn": (635.0, 666.0), "Co": (770.0, 805.0)}
CONTINUUM_WINDOWS_EV: Final = {"Mn": (705.0, 755.0), "Co": (850.0, 900.0)}
_STEP_EV: Final = 0.1


@checked
def white_line_factors(
    references: ReferenceSet,
    *,
    white_line_ev: tuple[float, float] | None = None,
    continuum_ev: tuple[float, float] | None = None,
    holes: Mapping[str, float] | None = None,
    from_onset: bool = False,
    continuum: str | Callable[..., Any] = "hydrogenic",
) -> dict[str, float]:
    r"""Find the factors that turn weights of reference spectra into amounts of atoms, as published.

    .. math:: f_s \propto \frac{1}{h_s} \int_\mathrm{white\ lines} \bigl(\sigma_s(E) - \alpha_s - \beta_s E\bigr)\, dE

    with a straight line through the continuum window, and the number of empty 3d states :math:`h_s`: white lines
    grow with holes, so a reference that holds more of them than its holes allow stands for more atoms.

    Parameters
    ----------
    references : ReferenceSet
        States of Mn or Co.
    white_line_ev, continuum_ev : (float, float), optional
        By default 635 to 666 and 705 to 755 eV for Mn, 770 to 805 and 850 to 900 eV for Co (paper). 815 to 850 eV is
        the other choice for Co: nearer to the lines, and below the Ni edge in data.
    holes : mapping of state to float, optional
        By default those of the ions, 7:6:5 and 4:3 (paper). Covalent bonds change them.
    from_onset : bool, default False
        Subtract the line only above the L3 onset; published is a line through the whole white-line window.
    continuum : str or callable, default ``"hydrogenic"``
        What lies under the white lines of the references.

    Returns
    -------
    dict of str to float
        Amount of atoms = factor x weight; the mean over the states is 1.

    Raises
    ------
    ValueError
        If a window is not between low and high, or white lines are not positive.

    Notes
    -----
    The paper also divides white lines by continuum, which takes out how thick each reference sample was; with
    references per atom it changes nothing. Whether its factors multiply or divide is not stated; only this way
    gives atoms. With exact references per atom all factors should be 1: what they are instead is the method's bias.

    Examples
    --------
    >>> from tritomo_helpers.spectroscopy import references
    >>> factors = white_line_factors(references.load("Mn"))
    >>> {state: round(factor, 2) for state, factor in factors.items()}
    {'Mn4': 1.05, 'Mn3': 1.01, 'Mn2': 0.94}
    """
    element = references.element
    check_option(element, "element of the references", tuple(WHITE_LINE_WINDOWS_EV))
    lines = _check_window(white_line_ev or WHITE_LINE_WINDOWS_EV[element], "white_line_ev")
    beyond = _check_window(continuum_ev or CONTINUUM_WINDOWS_EV[element], "continuum_ev")
    ionic = dict(zip(references.states, references.holes.tolist(), strict=True))
    counted = {**ionic, **(holes or {})}
    energy = np.arange(min(lines[0], beyond[0]), max(lines[1], beyond[1]) + _STEP_EV / 2, _STEP_EV)
    in_lines, in_beyond = ((energy >= a) & (energy <= b) for a, b in (lines, beyond))
    onset = EDGE_ONSET_EV[element, "L3"] if from_onset else -np.inf
    factors = {}
    for state, row in atom_cross_sections(references, energy, continuum=continuum).items():
        line = np.polyval(np.polyfit(energy[in_beyond] - beyond[0], row[in_beyond], 1), energy - beyond[0])
        area = float(np.sum((row - np.where(energy >= onset, line, 0.0))[in_lines]) * _STEP_EV)
        factors[state] = check_positive(area, f"white lines of {state}") / check_positive(
            counted[state], f"holes of {state}"
        )
    mean = float(np.mean(list(factors.values())))
    return {state: factor / mean for state, factor in factors.items()}


def _check_window(window: tuple[float, float], what: str) -> tuple[float, float]:
    if not 0 < window[0] < window[1]:
        raise fail(what, expected="energies from low to high, eV", got=window, remedy="swap the two")
    return window


@checked
def fractions(weights: Mapping[str, Any], *, white_line_factors: Mapping[str, float] | None = None) -> dict[str, Any]:
    r"""Share of each state among the atoms of its element.

    .. math:: x_s = \frac{f_s w_s}{\sum_{s'} f_{s'} w_{s'}}

    Parameters
    ----------
    weights : mapping of state to array_like, TiltSeries or Tomogram
        All of one shape; states of several elements may be mixed.
    white_line_factors : mapping of state to float, optional
        From :func:`white_line_factors`; 1 where not given.

    Returns
    -------
    dict of state to the type of `weights`
        Sum to 1 over the states of an element; NaN where their sum is not positive. Negative weights stay.

    Raises
    ------
    ValueError
        If a state is unknown or a factor is not positive.

    Examples
    --------
    >>> found = fractions({"Mn4": [3.0, 0.0], "Mn2": [1.0, 0.0], "Co3": [2.0, 2.0]}, white_line_factors={"Mn4": 1.0})
    >>> found["Mn4"], found["Co3"]
    (array([0.75,  nan]), array([1., 1.]))
    """
    amounts = {}
    for state, values in weights.items():
        check_option(state, "state", tuple(SPECIES_ELEMENT))
        amounts[state] = _values(values) * check_positive(
            (white_line_factors or {}).get(state, 1.0), f"factor of {state}"
        )
    totals: dict[str, Floats] = {}
    for state, amount in amounts.items():
        totals[SPECIES_ELEMENT[state]] = totals.get(SPECIES_ELEMENT[state], np.zeros(())) + amount
    result = {}
    for state, amount in amounts.items():
        total = totals[SPECIES_ELEMENT[state]]
        with np.errstate(invalid="ignore"):
            share = np.divide(amount, total, out=np.full(np.shape(total), np.nan), where=total > 0)
        result[state] = _like(weights[state], share, state)
    return result


def _values(x: Any) -> Floats:
    if isinstance(x, TiltSeries):
        x = x.images
    elif isinstance(x, Tomogram):
        x = x.values
    return np.asarray(x, dtype=float)


def _like(x: Any, values: Floats, state: str) -> Any:
    if isinstance(x, TiltSeries):
        return x.replace(images=values, label=f"{state} share")
    if isinstance(x, Tomogram):
        return x.replace(values=values, quantity=f"{state} share")
    return values
