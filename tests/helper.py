"""What several test modules need."""

import os
import subprocess
import sys

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


TILTS_DEG = [-70.0, -12.5, 0.0, 31.0]
"""Angles of `chiral_stack`."""


def chiral_stack(dtype=np.float32):
    """Return images (4, 5, 6) with a different number in every pixel, so that no flip, swap or shift goes unseen."""
    return np.arange(4 * 5 * 6, dtype=dtype).reshape(4, 5, 6) - 17


def in_another_process(code, **environment):
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process):
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out


def cached(tmp_path):
    """Names of everything but locks below the cache."""
    return sorted(p.name for p in (tmp_path / "cache").rglob("*") if p.is_file() and not p.name.endswith(".lock"))
