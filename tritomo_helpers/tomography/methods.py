"""One call for every method: the same arguments, the same result."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from .._validation import check_option, check_positive, fail
from ..containers import TiltSeries, Tomogram, over_elements
from ..projection import Projector
from . import choosing
from ._problem import Problem, Slices, Volume, check_problem
from .genfire import genfire
from .iterative import cgls, sart, sirt
from .variation import fit_variation
from .wbp import weighted_back_projection

_SET_ASIDE = {"hold_out": "tilts", "n_folds": 2, "counts_per_unit": None, "rng": None}
#: Options of every method, with their defaults. None for a stop or a weight: chosen on data set aside.
OPTIONS: dict[str, dict[str, Any]] = {
    "wbp": {"cutoff": 1.0},
    "sirt": {"n_iterations": None, "relaxation": 1.0, **_SET_ASIDE},
    "sart": {"n_iterations": None, "relaxation": 0.3, **_SET_ASIDE},
    "cgls": {"n_iterations": None, **_SET_ASIDE},
    "genfire": {
        "oversampling": 3,
        "interpolation_radius_px": 0.1,
        "n_iterations": 1000,
        "extension": True,
        "r_free_rng": None,
    },
    "genfire-fast": {
        "oversampling": 2,
        "interpolation_radius_px": 0.1,
        "n_iterations": None,
        "r_free_rng": None,
        **_SET_ASIDE,
    },
    "tv": {"weight": None, "noise": "gaussian", "finer": 2, "n_iterations": 60, "n_passes": 2, **_SET_ASIDE},
}
METHODS = tuple(OPTIONS)
#: Longest run that is searched for a stop.
_LONGEST = {"sirt": 400, "sart": 100, "cgls": 60, "genfire-fast": 200}


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """A tomogram, and how it was made.

    Parameters
    ----------
    tomogram : Tomogram
        Values in units of the images per pixel of path.
    r_factor : ndarray, shape (iterations,)
        Misfit after every iteration: for the GENFIRE methods over the measured Fourier points (convention
        "amplitude"), else over the projections (convention "difference").
    choices : dict
        Every setting used; for a stop or weight that was chosen also ``"why"``, and the errors it was chosen by.
    seconds : float
        Wall time.
    r_free : ndarray, shape (iterations,) or empty
        R over Fourier points kept out of the fit, if asked for.
    """

    tomogram: Tomogram
    r_factor: NDArray[np.float64]
    choices: dict[str, Any]
    seconds: float
    r_free: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))


@overload
def reconstruct(ts: TiltSeries, *, method: str = ..., support: Any = ..., **options: Any) -> Reconstruction: ...
@overload
def reconstruct(
    ts: Mapping[str, TiltSeries], *, method: str = ..., support: Any = ..., **options: Any
) -> dict[str, Reconstruction]: ...
def reconstruct(
    ts: TiltSeries | Mapping[str, TiltSeries],
    *,
    method: str = "genfire",
    support: ArrayLike | Tomogram | None = None,
    positivity: bool = True,
    start: Tomogram | ArrayLike | None = None,
    n_z: int | None = None,
    progress: bool = False,
    **options: Any,
) -> Reconstruction | dict[str, Reconstruction]:
    r"""Reconstruct a volume from a single-axis tilt series.

    Parameters
    ----------
    ts : TiltSeries, or mapping of element to TiltSeries
        Aligned images, tilt axis at pixel N // 2. A mapping (channels of one experiment, with the same angles and
        shape) shares the set-up and gives a mapping back.
    method : str, default "genfire"
        - ``"wbp"``: weighted back-projection (``cutoff``, share of Nyquist).
        - ``"sirt"``, ``"sart"``, ``"cgls"``: algebraic (``n_iterations``, ``relaxation``).
        - ``"genfire"``: the published algorithm with the paper's settings for ADF and EDS (``oversampling`` 3,
          ``interpolation_radius_px`` 0.1, ``n_iterations`` 1000; for valence maps 2, 0.1 and 200), resolution
          ``extension`` and suppression on (``r_free_rng``, a Generator, keeps 5 % of the Fourier points out and
          reports R_free).
        - ``"genfire-fast"``: the same Fourier constraints met with momentum, stopped before noise is fitted.
        - ``"tv"``: total variation (``weight``; ``noise`` "gaussian" or "poisson"; ``finer`` parts per voxel along z
          and x; ``n_iterations`` per pass; ``n_passes``).
    support : array_like of bool, shape (z, y, x), optional
        Where the specimen may be. Without it the whole box, as deep as the image is wide.
    positivity : bool, default True
        Allow no negative values.
    start : Tomogram or array_like, shape (z, y, x), optional
        First estimate. SIRT and SART go on exactly where they stopped: 3 x 10 iterations equal 30.
    n_z : int, optional
        Depth in voxels, if there is no support to tell.
    progress : bool, default False
        Show a progress bar.
    **options
        Of the method, as above. Where a stop or weight is not given, it is chosen on data set aside: ``hold_out``
        "tilts" or "counts" (thinning; needs ``rng`` and, if the images are scaled, ``counts_per_unit``), ``n_folds``.

    Returns
    -------
    Reconstruction or dict of element to Reconstruction

    Raises
    ------
    ValueError
        Before any computing: NaN, a tilt without signal, a support that is empty or of the wrong shape, an unknown
        method or option, or a value out of range.

    Notes
    -----
    Everything is float32. Memory beside the input, for 64^3 voxels and 15 tilts: 20 MB for the algebraic methods, 100
    MB for the others; it grows with the number of voxels in the box around the support.

    References
    ----------
    Pryor et al., Sci. Rep. 7, 10409 (2017) for GENFIRE; see each module for the others.

    Examples
    --------
    >>> import numpy as np
    >>> from tritomo_helpers.containers import TiltSeries
    >>> ball = (np.sum((np.indices((16, 16, 16)) - 8) ** 2, axis=0) < 25).astype(float)
    >>> angles = np.arange(-70, 71, 10)
    >>> images = Projector(angles, (16, 16)).forward(ball)
    >>> result = reconstruct(TiltSeries(images, angles, 4.63), method="sirt", n_iterations=50)
    >>> bool(np.linalg.norm(result.tomogram.values - ball) < 0.2 * np.linalg.norm(ball))
    True
    """
    channels = dict(ts) if isinstance(ts, Mapping) else {"": ts}
    if not channels:
        raise fail("ts", expected="at least one element", got="none", remedy="give one TiltSeries per element")
    settings = check_options(method, options)
    mask = support.values if isinstance(support, Tomogram) else support
    problems: dict[str, Problem] = {}
    shared: Projector | None = None
    for element, channel in channels.items():
        problem = check_problem(channel, support=mask, positivity=positivity, start=start, n_z=n_z)
        shared = shared or problem.projector
        if not np.array_equal(shared.tilt_angles_deg, problem.angles_deg) or shared.n_pixels != problem.images.shape[2]:
            raise fail(
                f"ts[{element!r}]",
                expected="the same angles and width in every series",
                got="others",
                remedy="call one by one",
            )
        problems[element] = replace(problem, projector=shared)
    results = {}
    for element, problem in problems.items():
        began = time.perf_counter()
        volume, r, r_free, choices = solve(problem, method, settings, progress=progress)
        tomogram = Tomogram(volume, channels[element].pixel_size_nm, channels[element].label)
        results[element] = Reconstruction(tomogram, r, choices, time.perf_counter() - began, r_free)
    return results if isinstance(ts, Mapping) else results[""]


def check_options(method: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a method completed by its defaults, or raise ValueError."""
    check_option(method, "method", METHODS)
    known = OPTIONS[method]
    for name in options:
        if name not in known:
            raise fail("option", expected=f"one of {', '.join(known)} for {method}", got=repr(name), remedy="drop it")
    chosen = {**known, **options}
    for name in ("cutoff", "relaxation", "interpolation_radius_px"):
        if name in chosen:
            check_positive(chosen[name], name)
    for name in ("n_iterations", "oversampling", "finer", "n_passes", "n_folds"):
        value = chosen.get(name)
        if value is not None and (value != int(value) or value < 1):
            raise fail(name, expected="a whole number above zero", got=value, remedy="give how many")
    if chosen.get("weight") is not None:
        check_positive(chosen["weight"], "weight", zero_ok=True)
    if "noise" in chosen:
        check_option(chosen["noise"], "noise", ("gaussian", "poisson"))
    if "hold_out" in chosen:
        check_option(chosen["hold_out"], "hold_out", ("tilts", "counts"))
        if chosen["hold_out"] == "counts":
            if chosen["rng"] is None:
                raise fail("rng", expected="a Generator", got=None, remedy="give rng=numpy.random.default_rng(seed)")
            check_positive(chosen["counts_per_unit"] or 1.0, "counts_per_unit")
    if method == "genfire" and chosen["n_iterations"] is None:
        raise fail("n_iterations", expected="a number, as published", got=None, remedy="use genfire-fast for a stop")
    return chosen


Solved = tuple[Volume, NDArray[np.float64], NDArray[np.float64], dict[str, Any]]


def solve(problem: Problem, method: str, settings: dict[str, Any], *, progress: bool = False) -> Solved:
    """Run one method on a checked problem; return volume, R, R_free and what was chosen."""
    if method == "wbp":
        volume = weighted_back_projection(problem, cutoff=settings["cutoff"])
        slices = Slices(problem)
        r = np.array([slices.misfit(slices.forward(slices.from_volume(volume)))])
        return volume, r, np.empty(0), {"method": method, **settings}
    choices: dict[str, Any] = {"method": method, **settings}
    if method == "tv":
        return _solve_variation(problem, settings, choices, progress)
    if settings["n_iterations"] is None:
        splits = _splits(problem, settings)

        def volumes(part: Problem) -> Iterator[Volume]:
            slices = Slices(part)
            return (slices.to_volume(step[0]) for step in _steps(slices, method, settings, None))

        n, errors = choosing.choose_stop(splits, volumes, n_max=_LONGEST[method])
        choices |= {
            "n_iterations": n,
            "held_out_errors": errors,
            "why": f"{n} iterations predict the {settings['hold_out']} set aside best",
        }
    slices = Slices(problem)
    steps = _steps(slices, method, settings, choices["n_iterations"])
    cells, history = _run(steps, choices["n_iterations"], method, progress)
    r_free = history[:, 1] if settings.get("r_free_rng") is not None else np.empty(0)
    return slices.to_volume(cells), history[:, 0], r_free, choices


def _steps(slices: Slices, method: str, settings: dict[str, Any], n_iterations: int | None) -> Iterator[Any]:
    """Start the iterations of a method: (cells, R) or (cells, R, R_free)."""
    if method == "cgls":
        return cgls(slices)
    if method in ("sirt", "sart"):
        run: Callable[..., Iterator[Any]] = {"sirt": sirt, "sart": sart}[method]
        return run(slices, relaxation=settings["relaxation"])
    fast = method == "genfire-fast"
    return genfire(
        slices,
        n_iterations=n_iterations,
        oversampling=int(settings["oversampling"]),
        radius_px=settings["interpolation_radius_px"],
        extension=not fast and settings["extension"],
        momentum=fast,
        rng=settings["r_free_rng"],
    )


def _run(steps: Iterator[Any], n: int, name: str, progress: bool) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Take n steps; return the last cells and the numbers of all steps."""
    from tqdm.auto import tqdm

    history = []
    for cells, *numbers in tqdm(islice(steps, n), total=n, desc=name, disable=not progress):
        history.append(numbers)
        last = cells
    return last, np.array(history)


def _splits(problem: Problem, settings: dict[str, Any]) -> list[choosing.Split]:
    if settings["hold_out"] == "tilts":
        return choosing.split_tilts(problem, settings["n_folds"])
    per_unit = settings["counts_per_unit"] or 1.0
    return choosing.split_counts(problem, settings["n_folds"], counts_per_unit=per_unit, rng=settings["rng"])


def _solve_variation(problem: Problem, settings: dict[str, Any], choices: dict[str, Any], progress: bool) -> Solved:
    fixed = {"noise": settings["noise"], "n_passes": settings["n_passes"]}
    if settings["weight"] is None:
        prepared: dict[int, Slices] = {}

        def attempt(part: Problem, weight: float, _: Any) -> tuple[Volume, Any]:
            # whole voxels and half the iterations rank the weights as the full fit does, in an eighth of the time
            slices = prepared.setdefault(id(part), Slices(part))
            *_, fit = fit_variation(slices, weight=weight, n_iterations=max(1, settings["n_iterations"] // 2), **fixed)
            return slices.to_volume(fit.cells), None

        weight, errors = choosing.choose_weight(_splits(problem, settings), attempt, first=0.008)
        choices |= {
            "weight": weight,
            "held_out_errors": errors,
            "why": f"weight {weight:.3g} predicts the {settings['hold_out']} set aside best",
        }
    slices = Slices(problem, finer=settings["finer"])
    n = settings["n_iterations"]
    fits = fit_variation(slices, weight=choices["weight"], n_iterations=n, **fixed)
    steps = ((fit.cells, fit.r_factor) for fit in fits)
    cells, history = _run(steps, n * settings["n_passes"], "tv", progress)
    return slices.to_volume(cells), history[:, 0], np.empty(0), choices


@overload
def project(tomogram: Tomogram, angles_deg: ArrayLike, *, label: str | None = ...) -> TiltSeries: ...
@overload
def project(
    tomogram: Mapping[str, Tomogram], angles_deg: ArrayLike, *, label: str | None = ...
) -> dict[str, TiltSeries]: ...
def project(tomogram: Any, angles_deg: ArrayLike, *, label: str | None = None) -> Any:
    """Project a tomogram at any tilts.

    Parameters
    ----------
    tomogram : Tomogram, or mapping of element to Tomogram
        Finite values, shape (z, y, x).
    angles_deg : array_like, shape (tilt,)
        Strictly increasing, degrees.
    label : str, optional
        By default the tomogram's quantity.

    Returns
    -------
    TiltSeries or dict of element to TiltSeries
        Images (tilt, y, x): sums along the beam, in units of the values times one pixel.

    Raises
    ------
    ValueError
        If a value is not finite, or the angles are not increasing.

    Examples
    --------
    >>> import numpy as np
    >>> series = project(Tomogram(np.ones((4, 2, 4)), 4.63), [0.0])
    >>> series.images[0].tolist()
    [[4.0, 4.0, 4.0, 4.0], [4.0, 4.0, 4.0, 4.0]]
    """
    if isinstance(tomogram, Mapping):
        return over_elements(tomogram, lambda volume: project(volume, angles_deg, label=label))
    n_z, _, n_x = tomogram.values.shape
    images = Projector(angles_deg, (n_z, n_x)).forward(tomogram.values)
    return TiltSeries(
        images,
        np.asarray(angles_deg, dtype=np.float64),
        tomogram.voxel_size_nm,
        tomogram.quantity if label is None else label,
    )


def held_out_error(
    ts: TiltSeries,
    *,
    method: str,
    support: ArrayLike | Tomogram | None = None,
    positivity: bool = True,
    n_z: int | None = None,
    n_folds: int = 4,
    **options: Any,
) -> float:
    """Error of predicting tilts that were left out: a score that needs no truth.

    Every fourth tilt (never the first or last) is left out, the rest is reconstructed (any stop or weight is chosen
    from the rest alone), reprojected and compared; then the next fourth, `n_folds` times.

    Parameters
    ----------
    ts, method, support, positivity, n_z, **options
        As `reconstruct`.
    n_folds : int, default 4
        1 to 4; with 4 each inner tilt is left out once.

    Returns
    -------
    float
        Mean of ``abs(prediction - images) / abs(images)``. Noise in the images sets a floor.

    Raises
    ------
    ValueError
        As `reconstruct`, or if there are fewer than 4 tilts.

    Examples
    --------
    >>> import numpy as np
    >>> from tritomo_helpers.containers import TiltSeries
    >>> ball = (np.sum((np.indices((16, 16, 16)) - 8) ** 2, axis=0) < 25).astype(float)
    >>> angles = np.arange(-70, 71, 10)
    >>> series = TiltSeries(Projector(angles, (16, 16)).forward(ball), angles, 4.63)
    >>> error = {m: held_out_error(series, method=m, n_folds=1) for m in ("wbp", "sirt")}
    >>> error["sirt"] < error["wbp"]
    True
    """
    settings = check_options(method, options)
    mask = support.values if isinstance(support, Tomogram) else support
    problem = check_problem(ts, support=mask, positivity=positivity, n_z=n_z)
    splits = choosing.split_tilts(problem, n_folds)
    return float(np.mean([split.error(solve(split.train, method, settings)[0]) for split in splits]))


def support_from_masks(masks: TiltSeries, *, margin_px: int = 2, n_z: int | None = None) -> NDArray[np.bool_]:
    """Return the voxels that fall inside the mask at every tilt, widened by a margin.

    Parameters
    ----------
    masks : TiltSeries
        Images that are zero outside the specimen, such as Otsu masks of an aligned ADF series.
    margin_px : int, default 2
        Voxels added all around: a mask that cuts the rim of the specimen would spoil the whole reconstruction.
    n_z : int, optional
        Depth in voxels; by default the width of the images.

    Returns
    -------
    ndarray of bool, shape (z, y, x)

    Raises
    ------
    ValueError
        If no voxel is inside all masks.

    Examples
    --------
    >>> import numpy as np
    >>> square = np.zeros((1, 5, 5))
    >>> square[0, 1:4, 1:4] = 1
    >>> support = support_from_masks(TiltSeries(square, [0.0], 4.63), margin_px=0)
    >>> support.shape, int(support.sum())
    ((5, 5, 5), 45)
    """
    problem = check_problem(masks, support=None, positivity=True, n_z=n_z)
    outside = (problem.images == 0).astype(np.float32)
    # most of a voxel outside at one tilt is enough to leave it out
    covered = np.ones(problem.shape, dtype=bool)
    for tilt in range(problem.n_tilts):
        covered &= problem.projector.subset([tilt]).adjoint(outside[[tilt]]) < 0.5
    if not covered.any():
        raise fail(
            "masks", expected="a voxel inside all of them", got="none", remedy="align the series, widen the masks"
        )
    if margin_px:
        covered = ndimage.binary_dilation(covered, iterations=margin_px)
    return np.asarray(covered, dtype=bool)
