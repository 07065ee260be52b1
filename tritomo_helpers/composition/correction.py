"""Absorption and shadowing taken out of the totals of a particle, with the composition that follows from them.

References
----------
Williams and Carter, Transmission Electron Microscopy, 2nd ed. (2009), chapter 35 (absorption and the factor method).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._typing import Floats, Floats32
from .._validation import check_count, check_shape, checked, fail
from ..containers import TiltSeries, Tomogram
from ..eds import absorption_weights
from ..projection import Projector
from ..spectroscopy.detectors import Detectors
from .quantification import cliff_lorimer


@dataclass(frozen=True, eq=False)
class CorrectedTotals:
    """Counts of a whole particle, as if nothing were absorbed or hidden.

    Parameters
    ----------
    totals : mapping of str to float
        Corrected counts, mean over the tilts; for `k_factors` and `cliff_lorimer`.
    transmission : mapping of str to ndarray, shape (tilt,)
        Share of the particle's X-rays that was counted.
    weights : mapping of str to ndarray, shape (tilt, z, y, x)
        The same of every voxel, see `eds.absorption_weights`.
    composition : mapping of str to float
        Atoms per counted atom that absorbed: as given, or as found.
    choices : mapping
        Every setting.
    """

    totals: Mapping[str, float]
    transmission: Mapping[str, Floats]
    weights: Mapping[str, Floats32]
    composition: Mapping[str, float]
    choices: Mapping[str, Any] = field(default_factory=dict)


@checked
def correct_absorption(
    maps: Mapping[str, TiltSeries],
    density: Tomogram,
    *,
    composition: Mapping[str, float],
    k_factors: Mapping[str, float] | None = None,
    n_updates: int = 2,
    detectors: Detectors | None = None,
    shadow: ArrayLike | None = None,
    progress: bool = False,
) -> CorrectedTotals:
    r"""Divide the totals of every element by the share of its X-rays that came out.

    .. math:: I_e = \frac{\sum_t \sum_{y,x} d_{et}}{\frac{1}{T} \sum_t T_{et}}, \qquad
              T_{et} = \frac{\sum_{\mathbf r} ρ\, G_{et}}{\sum_{\mathbf r} ρ}

    Parameters
    ----------
    maps : mapping of str to TiltSeries
        Signed counts, not normalized: the tilts' factors are part of what is corrected.
    density : Tomogram
        Visible atoms per nm³, (z, y, x); aligned with the maps.
    composition : mapping of str to float
        First guess: atoms of each element per visible atom, such as O 2/3, Mn 1/9 and so on. Elements without a map,
        such as Li, absorb as well and keep their amount.
    k_factors : mapping of str to float, optional
        With them the composition is updated from the corrected totals; without, it stays as given (pristine particles).
    n_updates : int, default 2
        How often. The second changes the mean by less than 0.01 at%.
    detectors, shadow
        See `eds.absorption_weights`.
    progress : bool, default False
        Show a progress bar.

    Returns
    -------
    CorrectedTotals

    Raises
    ------
    ValueError
        If the maps differ in angles or shape, or an element is missing in the composition.

    Examples
    --------
    >>> from tritomo_helpers import phantoms
    >>> ball = phantoms.balls([[0, 0, 0]], [60], shape=16)
    >>> axis = (np.arange(16) - 8) * ball.voxel_size_nm
    >>> images = np.stack([ball.areal_densities(t, axis, axis)["O"] for t in (-20, 20)])
    >>> maps = {"O": TiltSeries(images, [-20, 20], ball.voxel_size_nm)}
    >>> corrected = correct_absorption(maps, ball.tomogram(), composition={"O": 2 / 3, "Mn": 1 / 3})
    >>> bool(corrected.totals["O"] > images.sum() / 2)
    True
    """
    check_count(n_updates, "n_updates")
    if not maps:
        raise fail("maps", expected="one series per element", got="none", remedy="fit the lines first")
    missing = sorted(set(maps) - set(composition))
    if missing:
        raise fail(
            "composition",
            expected=f"every element of the maps, {', '.join(maps)}",
            got=f"nothing for {', '.join(missing)}",
            remedy="give a first guess for each",
        )
    first = next(iter(maps.values()))
    for element, series in maps.items():
        check_shape(series.images, f"maps of {element}", first.images.shape, remedy="take maps of one scan")
    present = dict(composition)
    matter = np.asarray(density.values, dtype=np.float64)
    counted = {el: np.array([np.nansum(image, dtype=np.float64) for image in s.images]) for el, s in maps.items()}
    for update in range(n_updates + 1 if k_factors is not None else 1):
        weights = absorption_weights(
            density,
            composition=present,
            elements=tuple(maps),
            tilt_angles_deg=first.tilt_angles_deg,
            detectors=detectors,
            shadow=shadow,
            progress=progress,
        )
        transmission = {el: np.array([float((w * matter).sum()) for w in weights[el]]) / matter.sum() for el in maps}
        totals = {el: float(counted[el].sum() / transmission[el].mean() / len(counted[el])) for el in maps}
        if k_factors is not None and update < n_updates:
            mean_fractions = cliff_lorimer(totals, k_factors={el: k_factors[el] for el in maps})
            visible = sum(present[el] for el in maps)
            present |= {el: float(fraction) * visible for el, fraction in mean_fractions.items()}
    return CorrectedTotals(
        totals, transmission, weights, present, {"n_updates": n_updates if k_factors is not None else 0}
    )


@checked
def correct_maps(
    maps: Mapping[str, TiltSeries], density: Tomogram, *, weights: Mapping[str, Floats32]
) -> dict[str, TiltSeries]:
    r"""Divide every pixel by the share of its X-rays that came out.

    .. math:: d'_{et} = d_{et}\, \frac{M_t[ρ]}{M_t[ρ\, G_{et}]}

    which is exact where the composition does not change along the ray. Shadows are divided out as well.

    Parameters
    ----------
    maps : mapping of str to TiltSeries
        Counts, aligned with the density.
    density : Tomogram
        Visible atoms per nm³.
    weights : mapping of str to ndarray, shape (tilt, z, y, x)
        Share of the X-rays that arrives, from `correct_absorption` or `eds.absorption_weights`.

    Returns
    -------
    dict of str to TiltSeries
        Pixels that see no matter are divided by the mean of the tilt.

    Raises
    ------
    ValueError
        If the weights are for other elements, tilts or voxels.

    Examples
    --------
    >>> series = TiltSeries(np.ones((1, 4, 4)), [0.0], 4.63)
    >>> half = {"O": np.full((1, 4, 4, 4), 0.5, dtype=np.float32)}
    >>> float(correct_maps({"O": series}, Tomogram(np.ones((4, 4, 4)), 4.63), weights=half)["O"].images.mean())
    2.0
    """
    matter = np.asarray(density.values, dtype=np.float32)
    corrected = {}
    for element, series in maps.items():
        if element not in weights:
            raise fail(
                "weights",
                expected=f"one array for each of {', '.join(maps)}",
                got=f"none for {element}",
                remedy="compute them for the elements of the maps",
            )
        check_shape(weights[element], f"weights of {element}", (series.n_tilts, *matter.shape))
        images = np.empty(series.images.shape, dtype=np.float32)
        for i, angle in enumerate(series.tilt_angles_deg):
            projector = Projector([float(angle)], (matter.shape[0], matter.shape[2]))
            seen, through = (projector.forward(v)[0] for v in (matter, matter * weights[element][i]))
            mean = through.sum() / seen.sum()
            share = np.divide(through, seen, out=np.full_like(seen, mean), where=seen > 1e-3 * seen.max())
            images[i] = np.asarray(series.images[i]) / share
        corrected[element] = series.replace(images=images)
    return corrected
