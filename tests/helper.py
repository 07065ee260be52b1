"""What several test modules need."""

import numpy as np


def relative_error(estimate, truth) -> float:
    """Euclidean norm of the difference over the norm of the truth."""
    estimate, truth = np.asarray(estimate, dtype=float), np.asarray(truth, dtype=float)
    return float(np.linalg.norm(estimate - truth) / np.linalg.norm(truth))


def adjoint_mismatch(forward, adjoint, domain_shape, range_shape, rng, dtype=np.float32) -> float:
    """|<Ax, y> - <x, A'y>| over the product of the norms of Ax and y."""
    x = rng.standard_normal(domain_shape).astype(dtype)
    y = rng.standard_normal(range_shape).astype(dtype)
    image, back = np.asarray(forward(x), dtype=float), np.asarray(adjoint(y), dtype=float)
    left, right = np.vdot(image, y.astype(float)), np.vdot(x.astype(float), back)
    return float(abs(left - right) / (np.linalg.norm(image) * np.linalg.norm(y)))
