"""One call for every method: the same arguments, the same result."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Unpack, overload

import numpy as np
from numpy.typing import ArrayLike

from .._representation import short_repr
from .._typing import Floats
from .._validation import check_flag, checked, fail
from ..containers import TiltSeries, Tomogram, over_elements
from ..projection import Projector
from .options import Method, MethodName, Options, Solution, settings_of
from .problem import Problem, check_problem
from .selection import Selection


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """A tomogram, and how it was made.

    Parameters
    ----------
    tomogram : Tomogram
        Values in units of the images per pixel of path. NaN where the support holds what no measured pixel sees.
    settings : Method
        Every setting used; those that were chosen are filled in.
    r_factor : ndarray, shape (iterations,)
        Misfit after every iteration: for GENFIRE over the measured Fourier points (convention "amplitude"), else over
        the projections (convention "difference").
    seconds : float
        Wall time.
    choices : mapping of str to Selection
        For each setting that was chosen without the truth: what was tried, and why.
    r_free : ndarray, shape (iterations,) or empty
        R over Fourier points kept out of the fit, if asked for.
    notes : tuple of str
        What was done about pixels and tilts that were not measured.
    """

    tomogram: Tomogram
    settings: Method
    r_factor: Floats
    seconds: float
    choices: Mapping[str, Selection] = field(default_factory=dict)
    r_free: Floats = field(default_factory=lambda: np.empty(0))
    notes: tuple[str, ...] = ()

    __repr__ = short_repr

    def as_dict(self) -> dict[str, Any]:
        """Return all but the volume, ready for JSON: what it is, how it was made, and how well it fits."""
        tomogram = self.tomogram
        return {
            "quantity": tomogram.quantity,
            "shape": list(tomogram.values.shape),
            "voxel_size_nm": tomogram.voxel_size_nm,
            "settings": self.settings.as_dict(),
            "choices": {
                name: {"value": c.value, "tried": c.tried.tolist(), "errors": c.errors.tolist(), "why": c.why}
                for name, c in self.choices.items()
            },
            "r_factor": self.r_factor.tolist(),
            "r_free": [None if np.isnan(r) else r for r in self.r_free.tolist()],
            "seconds": self.seconds,
            "notes": list(self.notes),
        }

    def to_json(self) -> str:
        """Return `as_dict` as JSON text."""
        return json.dumps(self.as_dict(), allow_nan=False)


@overload
def reconstruct(
    ts: TiltSeries,
    *,
    method: MethodName | Method = ...,
    support: ArrayLike | Tomogram | None = ...,
    positivity: bool = ...,
    start: Tomogram | ArrayLike | None = ...,
    n_z: int | None = ...,
    weights: ArrayLike | None = ...,
    progress: bool = ...,
    **options: Unpack[Options],
) -> Reconstruction: ...
@overload
def reconstruct(
    ts: Mapping[str, TiltSeries],
    *,
    method: MethodName | Method = ...,
    support: ArrayLike | Tomogram | None = ...,
    positivity: bool = ...,
    start: Tomogram | ArrayLike | None = ...,
    n_z: int | None = ...,
    weights: ArrayLike | Mapping[str, ArrayLike] | None = ...,
    progress: bool = ...,
    **options: Unpack[Options],
) -> dict[str, Reconstruction]: ...
@checked
def reconstruct(
    ts: TiltSeries | Mapping[str, TiltSeries],
    *,
    method: MethodName | Method = "genfire",
    support: ArrayLike | Tomogram | None = None,
    positivity: bool = True,
    start: Tomogram | ArrayLike | None = None,
    n_z: int | None = None,
    weights: ArrayLike | Mapping[str, ArrayLike] | None = None,
    progress: bool = False,
    **options: Unpack[Options],
) -> Reconstruction | dict[str, Reconstruction]:
    r"""Reconstruct a volume from a single-axis tilt series.

    Parameters
    ----------
    ts : TiltSeries, or mapping of element to TiltSeries
        Aligned images, tilt axis at pixel N // 2. NaN and masked pixels are not measured. A mapping (channels of one
        experiment, with the same angles and shape) shares the set-up and gives a mapping back.
    method : str or Method, default "genfire"
        A name with its settings as `options`, or the settings as one object, such as ``Sirt(n_iterations=30)``.

        - ``"wbp"`` (`WeightedBackProjection`): ``cutoff``.
        - ``"sirt"`` (`Sirt`), ``"sart"`` (`Sart`): ``n_iterations``, ``relaxation``. ``"cgls"`` (`Cgls`):
          ``n_iterations``.
        - ``"genfire"`` (`Genfire`): the published algorithm: ``oversampling``, ``interpolation_radius_px``,
          ``n_iterations``, ``extension``, ``r_free_rng``.
        - ``"tv"`` (`TotalVariation`): ``weight``, ``noise``, ``supersampling``, ``n_passes`` of ``n_iterations``.
    support : array_like of bool, shape (z, y, x), optional
        Where the specimen may be; NaN is not inside. Without it the whole box, as deep as the image is wide.
    positivity : bool, default True
        Allow no negative values.
    start : Tomogram or array_like, shape (z, y, x), optional
        First estimate, any unit. SIRT and SART go on exactly where they stopped: 3 x 10 iterations equal 30.
    n_z : int, optional
        Depth in voxels, if there is no support to tell.
    weights : array_like, shape (tilt, y, x), or mapping of element to it, optional
        Weight of every pixel, zero or above, such as 0 for dead pixels or one over the variance; only ratios count.
        Pixels that were not measured weigh nothing anyway. WBP and GENFIRE need whole images: they fill pixels without
        weight from the reprojection of a SIRT estimate, and `Reconstruction.notes` says so.
    progress : bool, default False
        Show a progress bar.
    **options
        Of the method, as above. A stop, weight or ``supersampling`` not given is chosen on data set aside: ``hold_out``
        "tilts" or "counts" (thinning; needs ``rng`` and, if the images are scaled, ``counts_per_unit``), ``n_folds``.

    Returns
    -------
    Reconstruction or dict of element to Reconstruction

    Raises
    ------
    ValueError
        Before any computing: infinite values, a tilt without signal, a support that is empty or of the wrong shape, an
        unknown method or option, or a value out of range.

    Notes
    -----
    Everything is float32, in a unit near the largest image value: images times 1e6 give the volume times 1e6. Memory
    beside the input, for 64^3 voxels and 15 tilts: 20 MB for the algebraic methods, 100 MB for the others; it grows
    with the number of voxels in the box around the support.

    References
    ----------
    Pryor et al., Sci. Rep. 7, 10409 (2017) for GENFIRE; see each module for the others.

    Examples
    --------
    >>> from tritomo_helpers.containers import TiltSeries
    >>> ball = (np.sum((np.indices((16, 16, 16)) - 8) ** 2, axis=0) < 25).astype(float)
    >>> angles = np.arange(-70, 71, 10)
    >>> images = Projector(angles, (16, 16)).forward(ball)
    >>> result = reconstruct(TiltSeries(images, angles, 4.63), method="sirt", n_iterations=50)
    >>> bool(np.linalg.norm(result.tomogram.values - ball) < 0.2 * np.linalg.norm(ball))
    True
    """
    settings = settings_of(method, options)
    progress = check_flag(progress, "progress")
    channels = dict(ts) if isinstance(ts, Mapping) else {"": ts}
    if not channels:
        raise fail("ts", expected="at least one element", got="none", remedy="give one TiltSeries per element")
    if isinstance(weights, Mapping) and (unknown := sorted(set(weights) - set(channels))):
        raise fail(
            "weights",
            expected=f"those of {', '.join(filter(None, channels)) or 'one series: an array'}",
            got=", ".join(unknown),
            remedy="name elements as in ts; those left out weigh the same everywhere",
        )
    problems: dict[str, Problem] = {}
    shared: Projector | None = None
    for element, channel in channels.items():
        problem = check_problem(
            channel,
            support=support,
            positivity=positivity,
            start=start,
            n_z=n_z,
            weights=weights.get(element) if isinstance(weights, Mapping) else weights,
            projector=shared,
        )
        _check_signal(problem)
        shared = shared or problem.projector
        _check_same_geometry(channel, next(iter(channels.values())), element)
        problems[element] = problem
    results = {}
    for element, problem in problems.items():
        began = time.perf_counter()
        solution = settings.solve(problem, progress=progress)
        results[element] = _result(solution, problem, channels[element], time.perf_counter() - began)
    return results if isinstance(ts, Mapping) else results[""]


def _check_signal(problem: Problem) -> None:
    """Raise ValueError for tilts that hold only zeros: they would pull the volume down."""
    blank = np.flatnonzero(~problem.images.any(axis=(1, 2)))
    if blank.size:
        angles = ", ".join(f"{a:g}" for a in problem.angles_deg[blank])
        raise fail(
            "images", expected="some signal at every tilt", got=f"only zeros at {angles} deg", remedy="drop these tilts"
        )


def _check_same_geometry(channel: TiltSeries, first: TiltSeries, element: str) -> None:
    same_angles = np.array_equal(channel.tilt_angles_deg, first.tilt_angles_deg)
    if not same_angles or channel.images.shape != first.images.shape:
        raise fail(
            f"ts[{element!r}]",
            expected="the same angles and shape in every series",
            got=f"{channel.n_tilts} tilts from {channel.tilt_angles_deg[0]:g} deg, shape {channel.images.shape}",
            remedy="reconstruct them one by one",
        )


def _result(solution: Solution, problem: Problem, ts: TiltSeries, seconds: float) -> Reconstruction:
    """Give the volume its unit back, and mark what was not measured."""
    values, notes = solution.volume * np.float32(problem.unit), solution.notes
    if problem.weights is not None:
        unseen = problem.support & (problem.projector.adjoint(problem.weights) == 0)
        if unseen.any():
            values[unseen] = np.nan
            notes = (*notes, f"{np.count_nonzero(unseen)} voxels are seen by no measured pixel: NaN")
    return Reconstruction(
        Tomogram(values, ts.pixel_size_nm, ts.label),
        solution.settings,
        solution.r_factor,
        seconds,
        solution.choices,
        solution.r_free,
        notes,
    )


@overload
def project(tomogram: Tomogram, angles_deg: ArrayLike, *, label: str | None = ...) -> TiltSeries: ...
@overload
def project(
    tomogram: Mapping[str, Tomogram], angles_deg: ArrayLike, *, label: str | None = ...
) -> dict[str, TiltSeries]: ...
@checked
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
    >>> series = project(Tomogram(np.ones((4, 2, 4)), 4.63), [0.0])
    >>> series.images[0].tolist()
    [[4.0, 4.0, 4.0, 4.0], [4.0, 4.0, 4.0, 4.0]]
    """
    if isinstance(tomogram, Mapping):
        return over_elements(tomogram, lambda volume: project(volume, angles_deg, label=label))
    if not isinstance(tomogram, Tomogram):
        raise fail(
            "tomogram",
            expected="a Tomogram or a mapping to them",
            got=type(tomogram).__name__,
            remedy="give Tomogram(values, voxel_size_nm)",
        )
    n_z, _, n_x = tomogram.values.shape
    images = Projector(angles_deg, (n_z, n_x)).forward(tomogram.values)
    return TiltSeries(
        images,
        np.asarray(angles_deg, dtype=np.float64),
        tomogram.voxel_size_nm,
        tomogram.quantity if label is None else label,
    )
