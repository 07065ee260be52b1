"""Random fields and cluster profiles: what differs from point to point besides depth."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .._typing import Floats


@dataclass(frozen=True, eq=False)
class Waves:
    """Five independent random fields of zero mean and unit variance, smooth over about 12 nm unless drawn longer.

    Each is a sum of the same plane waves with its own orthogonal coefficients, limited softly to 2.5 standard
    deviations before the variance is set to 1, so that a fluctuation alone never passes the threshold of a rich region.
    """

    wave_vectors: NDArray[np.float32]
    coefficients: NDArray[np.float32]

    N_FIELDS = 5
    LIMIT = 2.5
    # Standard deviation of LIMIT tanh(x / LIMIT) for a standard normal x, by Gauss-Hermite quadrature.
    LIMITED_STD = 0.8799

    @classmethod
    def draw(
        cls, rng: np.random.Generator, *, n_waves: int = 24, lengths_nm: tuple[float, float] = (28.0, 60.0)
    ) -> "Waves":
        """Draw waves whose lengths lie between the two given, nm; a patch of one sign is half a wave wide."""
        directions = rng.standard_normal((n_waves, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        vectors = directions * (2 * np.pi / rng.uniform(*lengths_nm, n_waves))[:, None]
        orthogonal = np.linalg.qr(rng.standard_normal((2 * n_waves, cls.N_FIELDS)))[0]
        # A sine or cosine has variance 1/2, hence the factor for unit variance of the sum.
        return cls(vectors.astype(np.float32), (orthogonal * np.sqrt(2)).astype(np.float32))

    def __call__(self, points_nm: Floats) -> Floats:
        """Return the fields at points (n, 3), shape (5, n)."""
        phase = points_nm.astype(np.float32) @ self.wave_vectors.T
        basis = np.concatenate([np.cos(phase), np.sin(phase)], axis=1)
        raw = (basis @ self.coefficients).T.astype(np.float64)
        return self.LIMIT / self.LIMITED_STD * np.tanh(raw / self.LIMIT)


@dataclass(frozen=True, eq=False)
class Local:
    """What is known at some points before the chemistry's constants are applied.

    Parameters
    ----------
    decay : array, shape (n,)
        exp(-depth / decay length).
    waves : array, shape (5, n)
        Random fields.
    clusters : array, shape (3, n)
        Profile of the clusters of Mn, Co, Ni: 1 inside, 0 outside.
    """

    decay: Floats
    waves: Floats
    clusters: Floats
