r"""What a specimen is made of at any point: composition, valence and lattice as functions of position and depth.

At depth d (nm) below the surface, with random waves g (mean 0, variance 1) and cluster profiles b (0 to 1):

- rock-salt share of atoms, f = f0 (1 + 0.15 exp(-d/decay) g), and oxygen 66.67 - 16.67 f at%;
- a metal's share of the metals, x = x0 + A exp(-d/decay) g, the three adding up to 1; in a cluster
  x -> x + b (peak - x);
- Mn4+ and Co3+, p = m - rise (exp(-d/decay) - mean) plus 0.15 p (1 - p) tanh(g), lowered inside clusters of the
  element;
- Mn3+ keeps a fixed share of the Mn that is not 4+;
- Li = 2 O - 4 Mn4+ - 3 Mn3+ - 2 Mn2+ - 3 Co3+ - 2 Co2+ - 2 Ni2+, so that every point is neutral.

`calibrate` solves the constants on a fixed fine sampling so that voxel means equal the stage's truth.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .._typing import Floats
from ..constants import NCM111_FORMULA_UNITS_PER_NM3, ROCK_SALT_LATTICE_NM, SPINEL_LATTICE_NM
from .clusters import Clusters

LAYERED_OXYGEN = 2 / 3
ROCK_SALT_OXYGEN = 1 / 2

# Volume per atom of O and metal, nm³ (lithium is not counted): 3 in a formula unit of NCM111, 48 in the cell of spinel,
# 8 in that of rock salt.
VOLUME_LAYERED = 1 / (3 * NCM111_FORMULA_UNITS_PER_NM3)
VOLUME_SPINEL = SPINEL_LATTICE_NM**3 / 48
VOLUME_ROCK_SALT = ROCK_SALT_LATTICE_NM**3 / 8

METALS = ("Mn", "Co", "Ni")
SPECIES = ("O", "Mn4", "Mn3", "Mn2", "Co3", "Co2", "Ni2", "Li")
CHARGE = {"O": -2, "Mn4": 4, "Mn3": 3, "Mn2": 2, "Co3": 3, "Co2": 2, "Ni2": 2, "Li": 1}
VALENCE_NOISE = 0.15
ROCK_SALT_NOISE = 0.15
# Inside a cluster this share of the element's high-valence ions is reduced (ours; the paper expects lower valence
# there).
CLUSTER_REDUCTION = 0.3


@dataclass(frozen=True, eq=False)
class Waves:
    """Five independent random fields of zero mean and unit variance, smooth over about 12 nm.

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
    def draw(cls, rng: np.random.Generator, *, n_waves: int = 24) -> "Waves":
        """Draw waves of 28 to 60 nm length."""
        directions = rng.standard_normal((n_waves, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        vectors = directions * (2 * np.pi / rng.uniform(28, 60, n_waves))[:, None]
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


@dataclass(frozen=True, eq=False)
class Values:
    """Chemistry at n points, all as fractions 0 to 1.

    Parameters
    ----------
    atomic_fractions : dict of array
        O, Mn, Co, Ni; they add up to 1 (lithium is invisible to the experiment and not counted).
    mn_valence, co_valence : dict of array
        Keys 4, 3, 2 and 3, 2: share of the element's ions.
    phases : dict of array
        layered, spinel, rock_salt: share of the O and metal atoms.
    density : array
        O and metal atoms per nm³.
    """

    atomic_fractions: dict[str, Floats]
    mn_valence: dict[int, Floats]
    co_valence: dict[int, Floats]
    phases: dict[str, Floats]
    density: Floats

    def species(self) -> dict[str, Floats]:
        """Return the number density of every species, 1/nm³; Li balances the charge."""
        f, density = self.atomic_fractions, self.density
        found = {
            "O": f["O"] * density,
            **{f"Mn{v}": f["Mn"] * density * share for v, share in self.mn_valence.items()},
            **{f"Co{v}": f["Co"] * density * share for v, share in self.co_valence.items()},
            "Ni2": f["Ni"] * density,
        }
        found["Li"] = -sum((CHARGE[name] * values for name, values in found.items()), np.zeros_like(density))
        return found


@dataclass(frozen=True, eq=False)
class Chemistry:
    """Constants of one specimen's chemistry (see the module for the formulas).

    Parameters
    ----------
    waves : Waves
    clusters : Clusters
    decay_nm : float
        Depth over which fluctuations and valence gradients fall to 1/e.
    rock_salt, spinel : float
        Mean rock-salt share of the atoms; spinel-like share of the rest.
    metal_shares : dict of str to float
        Mean shares x0 of Mn, Co, Ni among the metals.
    fluctuation : dict of str to float
        A of Mn and Co as shares of the metals; Ni takes the opposite sum.
    peak_share : float
        Share of its metal in the middle of a cluster.
    mn4, mn3_of_rest, co3 : float
        Mean valence shares before noise and clusters.
    mn4_rise, co3_rise : float
        Core minus surface.
    mean_decay : float
        Mean of exp(-depth / decay) over the particle.
    """

    waves: Waves
    clusters: Clusters
    decay_nm: float
    rock_salt: float
    spinel: float
    metal_shares: dict[str, float]
    fluctuation: dict[str, float]
    peak_share: float
    mn4: float
    mn3_of_rest: float
    co3: float
    mn4_rise: float = 0.0
    co3_rise: float = 0.0
    mean_decay: float = 0.0
    valence_noise: float = VALENCE_NOISE
    rock_salt_noise: float = ROCK_SALT_NOISE
    cluster_reduction: float = CLUSTER_REDUCTION

    def local(self, points_nm: Floats, depth_nm: Floats) -> Local:
        """Evaluate fields and cluster profiles at points (n, 3)."""
        decay = np.exp(-np.maximum(depth_nm, 0) / self.decay_nm)
        return Local(decay, self.waves(points_nm), self.clusters.profiles(points_nm))

    def evaluate(self, here: Local) -> Values:
        """Apply the constants."""
        rock_salt = self.rock_salt * (1 + self.rock_salt_noise * here.decay * here.waves[0])
        oxygen = LAYERED_OXYGEN - (LAYERED_OXYGEN - ROCK_SALT_OXYGEN) * rock_salt
        spinel = self.spinel * (1 - rock_salt)
        layered = 1 - rock_salt - spinel

        d_mn = self.fluctuation["Mn"] * here.decay * here.waves[1]
        d_co = self.fluctuation["Co"] * here.decay * here.waves[2]
        shares = {
            "Mn": self.metal_shares["Mn"] + d_mn,
            "Co": self.metal_shares["Co"] + d_co,
            "Ni": self.metal_shares["Ni"] - d_mn - d_co,
        }
        for index, metal in enumerate(METALS):
            pull = here.clusters[index] * (self.peak_share - shares[metal])
            others = 1 - shares[metal]
            shares = {el: x + pull if el == metal else x * (1 - pull / others) for el, x in shares.items()}

        mn4 = self._high_state(self.mn4, self.mn4_rise, here, here.waves[3], here.clusters[0])
        co3 = self._high_state(self.co3, self.co3_rise, here, here.waves[4], here.clusters[1])
        mn3 = (1 - mn4) * self.mn3_of_rest
        metal = 1 - oxygen
        return Values(
            {"O": oxygen, **{el: metal * share for el, share in shares.items()}},
            {4: mn4, 3: mn3, 2: 1 - mn4 - mn3},
            {3: co3, 2: 1 - co3},
            {"layered": layered, "spinel": spinel, "rock_salt": rock_salt},
            # Volumes add, so the density of a mixture is the harmonic mean of the densities.
            1 / (layered * VOLUME_LAYERED + spinel * VOLUME_SPINEL + rock_salt * VOLUME_ROCK_SALT),
        )

    def _high_state(self, mean: float, rise: float, here: Local, wave: Floats, cluster: Floats) -> Floats:
        # Clipped only as a guard: the constants of the stages keep the law inside 0..1.
        p = np.clip(mean - rise * (here.decay - self.mean_decay), 0, 1)
        p = p + self.valence_noise * p * (1 - p) * np.tanh(wave)
        return p * (1 - self.cluster_reduction * cluster)


def calibrate(chemistry: Chemistry, here: Local, targets: dict[str, float], *, rounds: int = 6) -> Chemistry:
    """Shift the constants until the means over the calibration points equal the targets.

    Parameters
    ----------
    chemistry : Chemistry
        Start values.
    here : Local
        Fields at points that sample the particle evenly.
    targets : dict of str to float
        Mean fractions of O, Mn, Co, Mn4, Mn3, Co3 (0 to 1).
    rounds : int
        Corrections; each shrinks the error at least tenfold.

    Returns
    -------
    Chemistry
    """
    for _ in range(rounds):
        values = chemistry.evaluate(here)
        mean = {name: float(v.mean()) for name, v in values.atomic_fractions.items()}
        metal = 1 - mean["O"]
        shares = dict(chemistry.metal_shares)
        for el in ("Mn", "Co"):
            shares[el] += (targets[el] - mean[el]) / metal
        shares["Ni"] = 1 - shares["Mn"] - shares["Co"]
        mn4 = float(values.mn_valence[4].mean())
        mn3 = float(values.mn_valence[3].mean())
        chemistry = replace(
            chemistry,
            # Rounding must not leave less than nothing in a particle without rock salt.
            rock_salt=max(chemistry.rock_salt - (targets["O"] - mean["O"]) / (LAYERED_OXYGEN - ROCK_SALT_OXYGEN), 0.0),
            metal_shares=shares,
            mn4=chemistry.mn4 + targets["Mn4"] - mn4,
            mn3_of_rest=chemistry.mn3_of_rest + (targets["Mn3"] - mn3) / max(1 - mn4, 1e-9),
            co3=chemistry.co3 + targets["Co3"] - float(values.co_valence[3].mean()),
        )
    return chemistry
