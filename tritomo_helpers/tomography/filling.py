"""Fill pixels that were not measured, for methods that need whole images."""

from dataclasses import replace
from itertools import islice

import numpy as np

from .iterative import sirt
from .problem import Problem

_N_ITERATIONS = 50


def fill(problem: Problem) -> Problem:
    """Return the problem with whole images: what was not measured comes from the reprojection of a SIRT estimate.

    `notes` says how many pixels that are, and that weights between zero and one had no effect.
    """
    if problem.weights is None:
        return problem
    missing = problem.weights == 0
    notes = problem.notes
    images = problem.images
    if missing.any():
        slices = problem.slices()
        *_, (cells, _) = islice(sirt(slices), _N_ITERATIONS)
        images = np.where(missing, problem.projector.forward(slices.to_volume(cells)), images)
        filled = f"{np.count_nonzero(missing)} pixels were filled from the reprojection of {_N_ITERATIONS} iterations"
        notes = (*notes, f"{filled} of SIRT, because this method needs whole images")
    if np.any((problem.weights > 0) & (problem.weights < 1)):
        notes = (*notes, "weights other than zero were not used: this method knows none")
    return replace(problem, images=images, weights=None, notes=notes)
