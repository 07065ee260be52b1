r"""The published fused tomography, on a CPU: element by element, tied to ADF by its contrast.

.. math:: \min_{x \ge 0}\; \lambda_H \Big\| A \sum_i w_i x_i^\gamma - b_H \Big\|^2
          + \lambda_C \sum_i \sum \big(A x_i - b_i \log A x_i\big) + \lambda_{TV} \sum_i \mathrm{TV}(x_i)

Every map and ADF are divided by their maximum. As in the public program, the exponent acts on x and the weights are
Z / ΣZ; 100 steps of the Poisson term come first, then rounds of five algebraic steps of all data and five of total
variation. Steps are scaled by row and column sums, so no step size is to be found.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import alignment
from .._typing import Bools, Floats32
from .._validation import check_ndim, check_positive, check_shape, checked
from ..containers import TiltSeries
from ..projection import Projector
from ..spectroscopy.xray.lines import atomic_number

_TRACE = np.float32(1e-4)  # of a map's maximum: keeps the Poisson ratio finite in the vacuum


@checked
def published_fusion(
    adf: TiltSeries,
    maps: Mapping[str, TiltSeries],
    *,
    support: ArrayLike,
    gamma: float = 1.6,
    adf_weight: float = 10.0,
    chemical_weight: float = 0.05,
    variation_weight: float = 1e-4,
    n_poisson: int = 100,
    n_rounds: int = 50,
    refine_alignment: bool = False,
    progress: bool = False,
) -> dict[str, Floats32]:
    """Reconstruct all elements with the published cost.

    Parameters
    ----------
    adf : TiltSeries
        Aligned, vacuum subtracted.
    maps : mapping of str to TiltSeries
        Aligned line maps; counts below zero become zero, as a logarithm demands.
    support : array_like of bool, shape (z, y, x)
    gamma, adf_weight, chemical_weight, variation_weight : float
        γ, λ_H, λ_C and λ_TV; defaults as published.
    n_poisson, n_rounds : int
        Steps of the Poisson term alone, and rounds of all terms.
    refine_alignment : bool, default False
        Shift ADF and maps first by projection matching with the reconstruction of ADF.
    progress : bool, default False
        Show a progress bar.

    Returns
    -------
    dict of str to ndarray, shape (z, y, x)
        In the unit of the maps per pixel of path.

    Raises
    ------
    ValueError
        If shapes do not go together or a weight is negative.

    References
    ----------
    Schwartz et al., npj Comput. Mater. 8, 16 (2022); Schwartz et al., Nat. Commun. 15, 3555 (2024).

    Examples
    --------
    >>> from tritomo_helpers.projection import Projector
    >>> z, y, x = np.indices((10, 10, 10)) - 5
    >>> ball, angles = 89.0 * (x**2 + y**2 + z**2 < 12), np.arange(-60.0, 61.0, 30.0)
    >>> adf = TiltSeries(Projector(angles, (10, 10)).forward(ball), angles, 4.63, "ADF")
    >>> maps = {"O": adf.replace(images=0.2 * adf.images), "Mn": adf.replace(images=0.1 * adf.images)}
    >>> amounts = published_fusion(adf, maps, support=ball > 0, n_poisson=5, n_rounds=2)
    >>> round(float(amounts["O"].sum() / amounts["Mn"].sum()), 1)
    2.0
    """
    from tqdm.auto import tqdm

    weights = {"adf_weight": adf_weight, "chemical_weight": chemical_weight, "variation_weight": variation_weight}
    for name, value in {**weights, "n_poisson": n_poisson, "n_rounds": n_rounds, "gamma": gamma}.items():
        check_positive(value, name, zero_ok=name != "gamma")
    check_ndim(support, "support", "z, y, x")
    inside = np.asarray(support, dtype=bool)
    check_shape(inside, "support", (inside.shape[0], *np.shape(adf.images)[1:]), remedy="match (z, y, x) to the images")
    if refine_alignment:
        adf, maps = matched(adf, maps)
    steps = _Steps(adf, maps, inside, gamma)
    x = np.full((len(maps), *inside.shape), 0.1, dtype=np.float32) * inside

    def rounds(n: int, name: str) -> Iterable[int]:
        return tqdm(range(n), desc=name, unit="round", disable=not progress)

    for _ in rounds(n_poisson, "counts alone"):
        x = np.maximum(x - steps.poisson(x), 0) * inside
    for _ in rounds(n_rounds, "fusion"):
        for _ in range(5):
            # λ_H and λ_C weigh the two directions; their sum is a full algebraic step.
            total = adf_weight + chemical_weight
            change = (adf_weight * steps.contrast(x) + chemical_weight * steps.poisson(x)) / total
            x = np.maximum(x - change, 0) * inside
        x = np.stack([less_variation(element, variation_weight, n_steps=5) for element in x]) * inside
    return {element: x[i] * steps.scales[i] for i, element in enumerate(maps)}


class _Steps:
    """Steps down each term, scaled by the sums of rows and columns of the projector."""

    def __init__(self, adf: TiltSeries, maps: Mapping[str, TiltSeries], inside: Bools, gamma: float) -> None:
        self.projector = Projector(
            adf.tilt_angles_deg, (inside.shape[0], inside.shape[2]), n_pixels=np.shape(adf.images)[2]
        )
        self.gamma = np.float32(gamma)
        numbers = np.array([atomic_number(element) for element in maps], dtype=np.float32)
        self.weights = numbers / numbers.sum()
        counts = [np.maximum(np.asarray(series.images, dtype=np.float32), 0) for series in maps.values()]
        self.scales = [image.max() for image in counts]
        self.maps = [image / scale for image, scale in zip(counts, self.scales, strict=True)]
        path = self.projector.forward(inside.astype(np.float32))
        ring = np.maximum(np.asarray(adf.images, dtype=np.float32), 0)
        # ADF in the unit that the maps give it: the sum over the particle of w x^gamma for x of the mean density.
        mean = np.array([image.sum() / path.sum() for image in self.maps], dtype=np.float32)
        self.ring = ring * (np.sum(self.weights * mean**self.gamma) * path.sum() / ring.sum())
        self.columns = _reciprocal(self.projector.adjoint(np.ones_like(path)))
        self.rows = _reciprocal(path)

    def poisson(self, x: Floats32) -> Floats32:
        """Step of A x - b log A x: the expectation-maximization step x A'(1 - b / A x) / A'1."""
        steps = np.empty_like(x)
        for i, image in enumerate(self.maps):
            ratio = 1 - (image + _TRACE) / (self.projector.forward(x[i]) + _TRACE)
            steps[i] = x[i] * self.columns * self.projector.adjoint(ratio)
        return steps

    def contrast(self, x: Floats32) -> Floats32:
        """Algebraic step of the ADF term, along its gradient with respect to every element."""
        powers = np.maximum(x, 1e-6) ** (self.gamma - 1)
        volume = np.tensordot(self.weights, powers * x, axes=1)
        smeared = self.columns * self.projector.adjoint(self.rows * (self.projector.forward(volume) - self.ring))
        slopes = self.gamma * self.weights[:, None, None, None] * powers
        # A Newton step along the gradient: it changes sum w x^gamma by what is smeared back.
        return np.asarray(slopes * smeared / np.maximum(np.square(slopes).sum(axis=0), 1e-6))


def _reciprocal(sums: Floats32) -> Floats32:
    return np.divide(1, sums, out=np.zeros_like(sums), where=sums > 1e-3)


def matched(adf: TiltSeries, maps: Mapping[str, TiltSeries]) -> tuple[TiltSeries, dict[str, TiltSeries]]:
    """Align by projection matching: reconstruct ADF, reproject, shift; the same shifts for all maps."""
    shifts = alignment.estimate(adf, method="projection-matching")
    return alignment.apply(adf, shifts), {el: alignment.apply(images, shifts) for el, images in maps.items()}


def less_variation(volume: Floats32, weight: float, *, n_steps: int) -> Floats32:
    """Gradient-projection steps on min |x - v|² / 2 + weight TV(x).

    References
    ----------
    Chambolle, J. Math. Imaging Vis. 20, 89 (2004).

    Examples
    --------
    >>> noisy = np.random.default_rng(1).standard_normal((8, 8, 8)).astype(np.float32)
    >>> bool(less_variation(noisy, 1.0, n_steps=50).std() < 0.2 * noisy.std())
    True
    """
    dual = np.zeros((3, *volume.shape), dtype=np.float32)
    for _ in range(n_steps):
        smooth = volume - np.float32(weight) * _divergence(dual)
        gradient = np.stack([np.diff(smooth, axis=i, append=smooth.take([-1], axis=i)) for i in range(3)])
        dual -= gradient / np.float32(12 * max(weight, 1e-12))
        dual /= np.maximum(1, np.sqrt(np.square(dual).sum(axis=0)))
    return np.asarray(volume - np.float32(weight) * _divergence(dual))


def _divergence(dual: Floats32) -> Any:
    """Minus the adjoint of the forward difference: sum of backward differences."""
    total = np.zeros(dual.shape[1:], dtype=np.float32)
    for axis, component in enumerate(dual):
        inner = component.copy()
        last = [slice(None)] * 3
        last[axis] = slice(-1, None)
        inner[tuple(last)] = 0
        total += np.diff(inner, axis=axis, prepend=np.zeros_like(inner.take([0], axis=axis)))
    return total
