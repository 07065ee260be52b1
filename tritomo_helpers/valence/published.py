"""The published chain from raw dual EELS to valence maps and volumes, tilt by tilt.

References
----------
The paper's Methods.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import alignment as alignments
from .. import eels
from .._typing import Bools, Floats
from .._validation import check_option, check_shape, checked, fail
from ..alignment import Alignment
from ..containers import SpectrumTiltSeries, TiltSeries, Tomogram
from ..spectroscopy import ReferenceSet, references
from ..tilt_series import normalization_factors
from ..tomography import reconstruct
from .fixed_references import EdgeFit, fit_edges
from .white_lines import fractions, white_line_factors

PUBLISHED_EDGES: Final = ("Mn L", "Co L")
# GENFIRE as in the paper.
_GENFIRE: Final[dict[str, Any]] = {
    "method": "genfire",
    "oversampling": 2,
    "n_iterations": 200,
    "interpolation_radius_px": 0.1,
}
# The L3 edge of Ni, less the width of its foot.
_NICKEL_BEGINS_EV: Final = 848.0


@dataclass(frozen=True, eq=False)
class PublishedMaps:
    """Aligned, masked and normalized maps of every state, and what happened on the way.

    Parameters
    ----------
    weights : dict of state to TiltSeries
        Amounts of each reference spectrum, counts per barn/eV/atom.
    drift_ev : ndarray, shape (tilt, y, x)
        Of the zero loss, eV.
    thickness : TiltSeries
        t/lambda in the raw frame.
    rejected : dict of edge to ndarray of bool, shape (tilt, y, x)
        Spectra in the mask, raw frame, for which no background passed; filled from their neighbors.
    rejected_share : dict of edge to ndarray, shape (tilt,)
        Their share.
    edge_sums : dict of edge to TiltSeries
        Edges summed over energy, aligned and masked, before normalization: its source.
    factors : ndarray, shape (tilt,)
        Normalization of each tilt.
    distance : dict of edge to TiltSeries
        Length of data minus fit over length of data.
    clipped_share : dict of edge to float
        Negative part of the edges, which multiplicative updates do not see.
    """

    weights: dict[str, TiltSeries]
    drift_ev: Floats
    thickness: TiltSeries
    rejected: dict[str, Bools]
    rejected_share: dict[str, Floats]
    edge_sums: dict[str, TiltSeries]
    factors: Floats
    distance: dict[str, TiltSeries]
    clipped_share: dict[str, float]


@dataclass(frozen=True, eq=False)
class PublishedVolumes:
    """Valence volumes of the published chain.

    Parameters
    ----------
    amounts : dict of state to Tomogram
        Reconstructed weights times white-line factor.
    fractions : dict of state to Tomogram
        Shares among the atoms of the element, NaN outside the support.
    factors : dict of state to float
        White-line factors used.
    """

    amounts: dict[str, Tomogram]
    fractions: dict[str, Tomogram]
    factors: dict[str, float]


@checked
def fill_rejected(values: NDArray[Any], mask: ArrayLike) -> NDArray[Any]:
    """Fill rejected pixels of a mask with the mean of their accepted neighbors.

    Parameters
    ----------
    values : ndarray, shape (y, x) or (y, x, energy)
        Any unit; NaN where rejected.
    mask : array_like of bool, shape (y, x)
        Where values are wanted.

    Returns
    -------
    ndarray
        Same shape; each rejected pixel of the mask holds the mean of the accepted ones among its eight neighbors, and
        where there are none, of those filled in the round before. Zero outside the mask.

    Raises
    ------
    ValueError
        If the mask holds no accepted pixel at all.

    Examples
    --------
    >>> fill_rejected(np.array([[1.0, np.nan, 3.0]]), np.array([[True, True, True]]))
    array([[1., 2., 3.]])
    """
    inside = np.asarray(mask, dtype=bool)
    check_shape(inside, "mask", values.shape[:2], remedy="give one value per pixel")
    stack = values.reshape(*values.shape[:2], -1)
    known = np.asarray(np.isfinite(stack).all(axis=2) & inside)
    if inside.any() and not known.any():
        raise fail(
            "edges",
            expected="an accepted spectrum inside the mask",
            got=f"all {inside.sum()} rejected",
            remedy="widen the gate (SweepSettings.max_pre_slope), or leave this tilt out",
        )
    filled = np.where(known[..., None], stack, 0)
    while (missing := inside & ~known).any():
        total = eels.sum_neighbors(filled, 3)
        count = eels.sum_neighbors(known.astype(filled.dtype), 3)
        reached = missing & (count > 0)
        filled[reached] = total[reached] / count[reached][:, None]
        known = known | reached
    return np.asarray(filled.reshape(values.shape))


@checked
def published_maps(
    low_loss: SpectrumTiltSeries,
    core_loss: SpectrumTiltSeries,
    *,
    alignment: Alignment,
    masks: ArrayLike,
    reference_sets: Iterable[ReferenceSet] | str = "crystal-field",
    method: str = "nmf",
    settings: Mapping[str, eels.SweepSettings] | None = None,
    fit_windows_ev: Mapping[str, tuple[float, float]] | None = None,
    continuum: str = "hydrogenic",
    filter_px: int = 3,
    remove_l1: bool = False,
) -> PublishedMaps:
    """Turn raw dual EELS into aligned, normalized maps of valence states, by the published steps.

    Zero-loss alignment of both ranges, 3 x 3 mean, background sweep with deconvolution, shifts and masks of the ADF
    series, fixed-reference fit, and one factor per tilt from the sums of the edges themselves.

    Parameters
    ----------
    low_loss, core_loss : SpectrumTiltSeries
        Raw series: numpy, memory map or Dask; one tilt in memory at a time.
    alignment : Alignment
        Of the ADF series. Tilts it excludes are left out.
    masks : array_like of bool, shape (tilt, y, x)
        Of the raw ADF images, :func:`tritomo_helpers.tilt_series.otsu_masks`.
    reference_sets : iterable of ReferenceSet or str, default ``"crystal-field"``
        One set per element of ``PUBLISHED_EDGES``; a Ni set as well lets the Co fit account for the Ni edge.
    method : {"nmf", "nnls"}, default "nmf"
        See :func:`fit_edges`.
    settings : mapping of edge to SweepSettings, optional
        By default the published ones.
    fit_windows_ev : mapping of edge to (float, float), optional
        Part of each edge to fit; the paper gives none. By default all of Mn, and Co up to 848 eV, where Ni begins,
        unless a Ni set is given.
    continuum : str, default ``"hydrogenic"``
        Model of the post-edge slope and of the rows of H.
    filter_px : int, default 3
        Side of the neighborhood; 1 switches the filter off.
    remove_l1 : bool, default False
        Take the L1 edge of Mn, 10 eV before Co L3, out of the raw spectra before Co is looked at. Not published: left
        in, it steepens the background of Co, and Co3+ of a fresh particle comes out 11 points too low.

    Returns
    -------
    PublishedMaps

    Raises
    ------
    ValueError
        If the series differ in pixels or angles, or all spectra of a tilt are rejected.

    Notes
    -----
    The low loss is averaged with weights t/lambda, so that it is that of the same atoms. Rejected spectra inside the
    mask are filled by :func:`fill_rejected` before shifting.
    """
    check_shape(masks, "masks", low_loss.counts.shape[:3], remedy="give one mask per tilt of this scan")
    check_option(method, "method", ("nmf", "nnls"))
    if not np.array_equal(low_loss.tilt_angles_deg, alignment.tilt_angles_deg):
        raise fail(
            "alignment",
            expected="the angles of the spectra",
            got=f"{alignment.tilt_angles_deg.size} angles for {low_loss.n_tilts} tilts",
            remedy="align the ADF series of the same scan",
        )
    sets = _sets(reference_sets)
    low, core, drift = eels.align_zero_loss(_lazy(low_loss), _lazy(core_loss))
    kept = np.flatnonzero(alignment.aligned)
    plans = [
        _EdgePlan(edge, used, method, *_ranges(edge, used, settings, fit_windows_ev), continuum)
        for edge, used in _sets_by_edge(sets).items()
    ]
    tilts = []
    for i in kept:
        low_tilt, core_tilt, thickness = _filtered(low, core, int(i), filter_px)
        mask, alignment_of_tilt = np.asarray(masks, dtype=bool)[i], _alignment_of(alignment, int(i))
        maps = []
        for plan in plans:
            maps.append(_map_edge(plan, low_tilt, core_tilt, mask, alignment_of_tilt))
            if remove_l1 and plan.edge == "Mn L":
                core_tilt = _without_l1(plan, low_tilt, core_tilt, maps[-1])
            # The spectra of one tilt at a time: only maps of it are kept.
            del maps[-1]["as_recorded"]
        tilts.append((thickness, maps))
    return _collect(plans, tilts, low_loss, alignment.tilt_angles_deg[kept], drift[kept])


@checked
def published_volumes(
    maps: PublishedMaps,
    *,
    support: ArrayLike | Tomogram | None = None,
    white_line_factors_by_state: Mapping[str, float] | None = None,
    **options: Any,
) -> PublishedVolumes:
    """Reconstruct every state with GENFIRE and normalize by white lines, as published.

    Parameters
    ----------
    maps : PublishedMaps
        From :func:`published_maps`.
    support : array_like of bool or Tomogram, shape (z, y, x), optional
        Where the particle is.
    white_line_factors_by_state : mapping of state to float, optional
        From :func:`white_line_factors`; by default those of the shipped crystal-field set, with the paper's windows.
    **options
        Of :func:`tritomo_helpers.tomography.reconstruct`; by default GENFIRE with oversampling 2, 200 iterations and an
        interpolation radius of 0.1 (paper).

    Returns
    -------
    PublishedVolumes

    Examples
    --------
    >>> from tritomo_helpers.containers import TiltSeries
    >>> from tritomo_helpers.projection import Projector
    >>> z, y, x = np.indices((8, 8, 8)) - 4
    >>> ball, angles = 1.0 * (x**2 + y**2 + z**2 < 8), np.arange(-60.0, 61.0, 30.0)
    >>> images = Projector(angles, (8, 8)).forward(ball)
    >>> weights = {s: TiltSeries(w * images, angles, 4.63) for s, w in (("Mn4", 0.7), ("Mn3", 0.1), ("Mn2", 0.2))}
    >>> maps = PublishedMaps(weights, 0 * images, weights["Mn4"], {}, {}, {}, np.ones(5), {}, {})
    >>> equal = dict.fromkeys(weights, 1.0)
    >>> volumes = published_volumes(maps, support=ball > 0, white_line_factors_by_state=equal, n_iterations=5)
    >>> round(float(np.nanmean(volumes.fractions["Mn4"].values)), 2)
    0.7
    """
    series = {s: ts for s, ts in maps.weights.items() if not s.startswith("Ni")}
    reconstructions = reconstruct(series, support=support, **{**_GENFIRE, **options})
    factors = dict(white_line_factors_by_state or {})
    for element in {s[:2] for s in series} if white_line_factors_by_state is None else ():
        factors |= white_line_factors(references.load(element))
    amounts = {
        s: r.tomogram.replace(values=np.asarray(r.tomogram.values) * factors.get(s, 1.0), quantity=f"{s} amount")
        for s, r in reconstructions.items()
    }
    shares = fractions(amounts)
    if support is not None:
        inside = np.asarray(support.values if isinstance(support, Tomogram) else support) > 0
        shares = {s: t.replace(values=np.where(inside, t.values, np.nan)) for s, t in shares.items()}
    return PublishedVolumes(amounts, shares, factors)


@dataclass(frozen=True, eq=False)
class _EdgePlan:
    edge: str
    sets: tuple[ReferenceSet, ...]
    method: str
    settings: eels.SweepSettings
    fit_window_ev: tuple[float, float] | None
    continuum: str


def _sets(given: Iterable[ReferenceSet] | str) -> tuple[ReferenceSet, ...]:
    if isinstance(given, str):
        return tuple(references.load(element, given) for element in ("Mn", "Co"))
    return tuple(given)


def _sets_by_edge(sets: tuple[ReferenceSet, ...]) -> dict[str, tuple[ReferenceSet, ...]]:
    """Assign each set to its edge; Ni helps to fit Co, whose range it shares."""
    by_element = {given.element: given for given in sets}
    if not {"Mn", "Co"} & set(by_element):
        raise fail(
            "reference_sets",
            expected="a set for Mn or Co",
            got=", ".join(by_element) or "none",
            remedy='give references.load("Mn") or your own',
        )
    edges = {}
    for edge in PUBLISHED_EDGES:
        names = (edge[:2], "Ni") if edge == "Co L" else (edge[:2],)
        if edge[:2] in by_element:
            edges[edge] = tuple(by_element[name] for name in names if name in by_element)
    return edges


def _ranges(
    edge: str,
    sets: tuple[ReferenceSet, ...],
    settings: Mapping[str, eels.SweepSettings] | None,
    fit_windows_ev: Mapping[str, tuple[float, float]] | None,
) -> tuple[eels.SweepSettings, tuple[float, float] | None]:
    sweep = (settings or {}).get(edge) or eels.SweepSettings.for_edge(edge)
    without_nickel = edge == "Co L" and len(sets) == 1
    default = (sweep.range_ev[0], _NICKEL_BEGINS_EV) if without_nickel else None
    return sweep, (fit_windows_ev or {}).get(edge, default)


def _lazy(x: SpectrumTiltSeries) -> SpectrumTiltSeries:
    """Wrap arrays so that shifting copies one tilt at a time."""
    if hasattr(x.counts, "dask"):
        return x
    import dask.array as da

    return x.replace(counts=da.from_array(x.counts, chunks=(1, *x.counts.shape[1:]), name=False))


def _filtered(
    low: SpectrumTiltSeries, core: SpectrumTiltSeries, i: int, size_px: int
) -> tuple[SpectrumTiltSeries, SpectrumTiltSeries, Floats]:
    """Load one tilt, measure t/lambda and average neighbors."""
    low_tilt, core_tilt = (
        x.replace(counts=np.asarray(x.counts[i : i + 1]), tilt_angles_deg=x.tilt_angles_deg[i : i + 1])
        for x in (low, core)
    )
    thickness = eels.relative_thickness(low_tilt.counts, low.energy_ev)
    if size_px > 1:
        core_tilt = eels.filter_neighbors(core_tilt, size_px=size_px)
        low_tilt = eels.filter_neighbors(low_tilt, size_px=size_px, weights=np.fmax(thickness, 0))
    return low_tilt, core_tilt, thickness[0]


def _alignment_of(alignment: Alignment, i: int) -> Alignment:
    return Alignment(
        alignment.shifts_px[i : i + 1],
        alignment.tilt_angles_deg[i : i + 1],
        axis_rotation_deg=alignment.axis_rotation_deg,
    )


def _map_edge(
    plan: _EdgePlan, low: SpectrumTiltSeries, core: SpectrumTiltSeries, mask: Bools, alignment: Alignment
) -> dict[str, Any]:
    subtracted = eels.subtract_background(
        core.counts[0],
        core.energy_ev,
        low.counts[0],
        low.energy_ev,
        edge=plan.edge,
        continuum=plan.continuum,
        settings=plan.settings,
    )
    filled = fill_rejected(subtracted.spectra, mask)
    edges = core.replace(counts=filled[None], energy_ev=subtracted.energy_ev)
    aligned = alignments.apply(edges, alignment, outside="zero").counts[0]
    fit = _fit(plan, aligned, subtracted.energy_ev)
    return {
        "as_recorded": filled,
        "energy_ev": subtracted.energy_ev,
        "weights": dict(fit),
        "sum": aligned.sum(axis=-1),
        "distance": fit.distance,
        "clipped": fit.clipped_share,
        "rejected": subtracted.rejected & mask,
        "rejected_share": subtracted.rejected_share(mask) if mask.any() else np.nan,
    }


def _fit(plan: _EdgePlan, spectra: Floats, energy_ev: Floats) -> EdgeFit:
    return fit_edges(
        spectra,
        energy_ev,
        plan.sets,
        method=plan.method,
        fit_window_ev=plan.fit_window_ev,
        continuum=plan.continuum,
        cutoff_per_ev=plan.settings.cutoff_per_ev,
    )


def _without_l1(
    plan: _EdgePlan, low: SpectrumTiltSeries, core: SpectrumTiltSeries, mapped: dict[str, Any]
) -> SpectrumTiltSeries:
    """Subtract L1 of the element that was mapped, in the frame of the scan and with the low loss of each pixel."""
    amount = sum(_fit(plan, mapped["as_recorded"], mapped["energy_ev"]).values())
    step = eels.scattered_edge(f"{plan.edge}1", core.energy_ev, low.counts[0], low.energy_ev, continuum=plan.continuum)
    return core.replace(counts=core.counts - np.asarray(amount)[None, ..., None] * step)


def _collect(
    plans: list[_EdgePlan],
    tilts: list[tuple[Floats, list[dict[str, Any]]]],
    like: SpectrumTiltSeries,
    angles: Floats,
    drift: Floats,
) -> PublishedMaps:
    def series(images: list[Floats], label: str) -> TiltSeries:
        return TiltSeries(np.stack(images).astype(np.float32), angles, like.pixel_size_nm, label)

    def gather(n: int, what: str) -> list[Any]:
        return [edges[n][what] for _, edges in tilts]

    names = [plan.edge for plan in plans]
    sums = {name: series(gather(n, "sum"), f"{name} edge") for n, name in enumerate(names)}
    factors = normalization_factors(sums)
    weights = {}
    for n in range(len(names)):
        by_tilt = gather(n, "weights")
        for state in by_tilt[0]:
            weights[state] = series([w[state] * f for w, f in zip(by_tilt, factors, strict=True)], state)
    return PublishedMaps(
        weights=weights,
        drift_ev=drift,
        thickness=series([thickness for thickness, _ in tilts], "t/lambda"),
        rejected={name: np.stack(gather(n, "rejected")) for n, name in enumerate(names)},
        rejected_share={name: np.array(gather(n, "rejected_share")) for n, name in enumerate(names)},
        edge_sums=sums,
        factors=factors,
        distance={name: series(gather(n, "distance"), f"{name} distance") for n, name in enumerate(names)},
        clipped_share={name: float(np.mean(gather(n, "clipped"))) for n, name in enumerate(names)},
    )
