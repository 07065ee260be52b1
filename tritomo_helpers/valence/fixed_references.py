"""Edges as sums of fixed reference spectra: multiplicative updates as published, and exact least squares.

References
----------
Lee and Seung, Nature 401, 788 (1999); the paper's Methods.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import combinations
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._typing import Floats
from .._validation import check_finite, check_increasing, check_option, check_shape, checked, fail
from ..eels import over_spectra
from ..spectroscopy import ReferenceSet
from .reference_rows import atom_cross_sections

METHODS: Final = ("nmf", "nnls")
# What scikit-learn puts in place of a denominator of zero.
_EPSILON = float(np.finfo(np.float32).eps)
# All subsets of states are tried: 2^n of them.
_MOST_STATES = 10


@checked
class EdgeFit(Mapping[str, Floats]):
    """Weights of each state, by name, and how well they describe the edges.

    Attributes
    ----------
    distance : ndarray, shape (...)
        Length of data minus fit over length of the data; NaN where not fitted.
    objective : ndarray, shape (n_iterations + 1,) or (1,)
        Sum of squares over all fitted spectra, before and after each multiplicative update; the last one alone for
        least squares.
    clipped_share : float
        What the updates cannot use: the negative part of the data over the sum of its absolute values. 0 for
        least squares, which takes data as they are.
    """

    def __init__(
        self, weights: Mapping[str, Floats], distance: Floats, objective: Floats, clipped_share: float
    ) -> None:
        self._weights = dict(weights)
        self.distance, self.objective, self.clipped_share = distance, objective, clipped_share

    def __getitem__(self, state: str) -> Floats:
        return self._weights[state]

    def __iter__(self) -> Iterator[str]:
        return iter(self._weights)

    def __len__(self) -> int:
        return len(self._weights)


@checked
def fit_edges(
    edges: ArrayLike,
    energy_ev: ArrayLike,
    references: ReferenceSet | Iterable[ReferenceSet] | Mapping[str, ArrayLike],
    *,
    method: str = "nmf",
    n_iterations: int = 500,
    initial: Mapping[str, ArrayLike] | None = None,
    fit_window_ev: tuple[float, float] | None = None,
    continuum: str | Callable[..., Any] = "hydrogenic",
    cutoff_per_ev: float | None = None,
) -> EdgeFit:
    r"""Split background-free edges into non-negative amounts of fixed references.

    .. math:: \min_{W \ge 0} \lVert V - W H \rVert^2, \qquad W \leftarrow W \odot \frac{V H^\top}{W H H^\top}

    The second is the multiplicative update of non-negative matrix factorization with H left as it is.

    Parameters
    ----------
    edges : array_like, shape (..., energy)
        V, such as :func:`tritomo_helpers.eels.subtract_background` returns: numpy, memory map or Dask.
    energy_ev : array_like, shape (energy,)
        eV.
    references : ReferenceSet, iterable of them, or mapping of state to array_like of shape (energy,)
        H. Sets become white lines plus continuum per atom, see :func:`atom_cross_sections`; arrays are taken as they
        are. Add Ni where its edge is in the data.
    method : {"nmf", "nnls"}, default "nmf"
        Multiplicative updates (published), or the exact minimum.
    n_iterations : int, default 500
        Of the updates. They converge slowly.
    initial : mapping of state to array_like of shape (...), optional
        Where the updates begin; by default equal weights that hold the counts of each spectrum.
    fit_window_ev : (float, float), optional
        Part of the axis to fit. The paper gives none; by default all of it.
    continuum, cutoff_per_ev
        See :func:`atom_cross_sections`.

    Returns
    -------
    EdgeFit
        A mapping of state to weights, shape (...): counts per barn/eV/atom, proportional to atoms per area. NaN for
        spectra with NaN.

    Raises
    ------
    ValueError
        If references do not fit the axis, have no positive values or cannot be told apart.

    Notes
    -----
    The updates need data that are not negative, so noise is clipped at zero for them, which adds a false signal; least
    squares does without. Least squares is solved for every subset of states and keeps the best feasible one: that is
    exact, and fast for the few states there are.

    References
    ----------
    Lee and Seung, Nature 401, 788 (1999).

    Examples
    --------
    >>> H = {"Mn4": [4.0, 1.0, 0.0], "Mn2": [0.0, 2.0, 3.0]}
    >>> fit = fit_edges([8.0, 4.0, 3.0], [640.0, 645.0, 650.0], H, method="nnls")
    >>> round(float(fit["Mn4"]), 6), round(float(fit["Mn2"]), 6)
    (2.0, 1.0)
    """
    energy = check_increasing(energy_ev, "energy_ev")
    check_option(method, "method", METHODS)
    check_shape(edges, "edges", (*np.shape(edges)[:-1], energy.size), remedy="give one value per energy, energy last")
    window = _window(energy, fit_window_ev)
    rows = _rows(references, energy, continuum, cutoff_per_ev)
    states, used = tuple(rows), np.stack([row[window] for row in rows.values()])
    _check_rows(states, used)
    start = None if initial is None else _stack(initial, states, np.shape(edges)[:-1])
    if method == "nmf" and n_iterations < 1:
        raise fail("n_iterations", expected="1 or more", got=n_iterations, remedy="give 500, or use nnls")
    totals: dict[str, Any] = {
        "negative": 0.0,
        "absolute": 0.0,
        "objective": np.zeros(n_iterations + 1 if method == "nmf" else 1),
    }

    def fit(block: NDArray[Any], begin: Floats | None = None) -> tuple[Floats, Floats]:
        data = np.asarray(block[:, window], dtype=float)
        usable = np.isfinite(data).all(axis=1)
        weights, distance = np.full((data.shape[0], len(states)), np.nan), np.full(data.shape[0], np.nan)
        data = data[usable]
        if method == "nmf":
            totals["negative"] -= np.minimum(data, 0).sum()
            totals["absolute"] += np.abs(data).sum()
            data = np.maximum(data, 0)
            first = _even_start(data, used) if begin is None else begin[usable]
            fitted, objective = _multiplicative_updates(data, used, first, n_iterations)
        else:
            fitted = _least_squares(data, used)
            objective = np.array([_squares(data, used, fitted).sum()])
        totals["objective"] = totals["objective"] + objective
        length = np.sqrt(np.sum(data**2, axis=1))
        weights[usable] = fitted
        distance[usable] = np.sqrt(_squares(data, used, fitted)) / np.where(length > 0, length, np.nan)
        return weights, distance

    sides = [] if start is None else [start]
    weights, distance = over_spectra(edges, fit, *sides)
    share = totals["negative"] / totals["absolute"] if totals["absolute"] else 0.0
    by_state = {state: np.asarray(weights[..., i]) for i, state in enumerate(states)}
    return EdgeFit(by_state, distance, np.asarray(totals["objective"]), float(share))


def _window(energy: Floats, window_ev: tuple[float, float] | None) -> NDArray[np.bool_]:
    inside = np.ones(energy.size, bool) if window_ev is None else (energy >= window_ev[0]) & (energy <= window_ev[1])
    if not inside.any():
        raise fail(
            "fit_window_ev",
            expected=f"part of {energy[0]:g} to {energy[-1]:g} eV",
            got=window_ev,
            remedy="move the window",
        )
    return np.asarray(inside)


def _rows(references: Any, energy: Floats, continuum: Any, cutoff_per_ev: float | None) -> dict[str, Floats]:
    if isinstance(references, Mapping):
        rows = {state: np.asarray(row, dtype=float) for state, row in references.items()}
        for state, row in rows.items():
            check_shape(row, f"reference {state}", energy.shape, remedy="put the references on the axis of the edges")
        return rows
    rows = atom_cross_sections(references, energy, continuum=continuum, cutoff_per_ev=cutoff_per_ev)
    # A filter rings below zero beside narrow lines.
    return {state: np.maximum(row, 0) for state, row in rows.items()}


def _check_rows(states: tuple[str, ...], rows: Floats) -> None:
    if not 1 <= len(states) <= _MOST_STATES:
        raise fail("references", expected=f"1 to {_MOST_STATES} states", got=len(states), remedy="fit fewer states")
    check_finite(rows, "references")
    if rows.min() < 0 or not np.all(rows.max(axis=1) > 0):
        raise fail(
            "references",
            expected="spectra without negative values that are not zero throughout the window",
            got=f"values from {rows.min():g} to {rows.max():g}",
            remedy="clip small negative values, or widen fit_window_ev",
        )
    if np.linalg.matrix_rank(rows) < len(states):
        raise fail(
            "references", expected="spectra that differ", got=", ".join(states), remedy="drop what is a sum of others"
        )


def _stack(initial: Mapping[str, ArrayLike], states: tuple[str, ...], leading: tuple[int, ...]) -> Floats:
    if set(initial) != set(states):
        raise fail("initial", expected=", ".join(states), got=", ".join(initial), remedy="give one start per state")
    return np.stack([np.broadcast_to(np.asarray(initial[s], float), leading) for s in states], axis=-1)


def _even_start(data: Floats, rows: Floats) -> Floats:
    share = data.sum(axis=1, keepdims=True) / rows.sum()
    return np.repeat(share, rows.shape[0], axis=1)


def _squares(data: Floats, rows: Floats, weights: Floats) -> Floats:
    return np.asarray(np.sum((data - weights @ rows) ** 2, axis=1))


def _multiplicative_updates(data: Floats, rows: Floats, weights: Floats, n: int) -> tuple[Floats, Floats]:
    """Return weights after n updates, and the sum of squares before the first and after each."""
    toward, gram = data @ rows.T, rows @ rows.T
    constant = float(np.sum(data**2))
    objective = np.empty(n + 1)
    for i in range(n + 1):
        back = weights @ gram
        objective[i] = constant - 2 * np.sum(weights * toward) + np.sum(weights * back)
        if i < n:
            weights = weights * (toward / np.where(back == 0, _EPSILON, back))
    return weights, objective


def _least_squares(data: Floats, rows: Floats) -> Floats:
    """Exact non-negative least squares: the best of all subsets whose solution is not negative."""
    scale = np.linalg.norm(rows, axis=1)
    unit = rows / scale[:, None]
    toward, gram = data @ unit.T, unit @ unit.T
    n_states = rows.shape[0]
    best, gain = np.zeros_like(toward), np.zeros(data.shape[0])
    for size in range(1, n_states + 1):
        for subset in map(list, combinations(range(n_states), size)):
            solution = np.linalg.solve(gram[np.ix_(subset, subset)], toward[:, subset].T).T
            explained = np.sum(solution * toward[:, subset], axis=1)
            better = (solution >= 0).all(axis=1) & (explained > gain)
            gain[better] = explained[better]
            best[better] = 0
            best[np.ix_(better, subset)] = solution[better]
    return np.asarray(best / scale)
