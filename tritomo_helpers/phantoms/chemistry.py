r"""What a specimen is made of at any point: composition, valence and lattice as functions of position and depth.

At depth d (nm) below the surface, with random waves g (mean 0, variance 1) and cluster profiles b (0 to 1):

- rock-salt share of atoms, f = f0 (1 + 0.15 exp(-d/decay) g), rising to that of a cluster inside clusters; the share r
  of the *metals* in rock salt follows, and with it oxygen;
- a metal's share of the metals, x = x0 + A exp(-d/decay) g, the three adding up to 1; in a cluster
  x -> x + b (peak - x);
- Mn4+ and Co3+, p = [m - rise (exp(-d/decay) - mean)] (1 - r) / (1 - r0): metals in rock salt are 2+, so valence
  follows it, and clusters carry less; plus 0.15 p (1 - p) tanh(g);
- Mn3+ keeps a fixed share of the Mn that is not 4+;
- lithium and the valence of nickel balance the charge (see `balance`).

`calibrate` solves the constants on a fixed fine sampling so that voxel means equal the stage's truth.
"""

from dataclasses import dataclass, replace

import numpy as np

from .._typing import Floats
from .balance import METALS, Values, balance, metals_in_rock_salt
from .clusters import Clusters
from .fields import Local, Waves

LAYERED_OXYGEN = 2 / 3
ROCK_SALT_OXYGEN = 1 / 2

VALENCE_NOISE = 0.15
ROCK_SALT_NOISE = 0.15


@dataclass(frozen=True)
class Coupling:
    """How segregation lowers valence in the control of that name.

    Parameters
    ----------
    points_per_at_percent : float, optional
        Points of Mn4+ (of Co3+) lost per at% of Mn (of Co) above its mean; by default what the depth law demands.
    rectified : bool, default True
        Whether poor places lose nothing. If not, they gain what rich ones lose, and no mean over a shell moves.
    """

    points_per_at_percent: float | None = None
    rectified: bool = True


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
    lithium_layered : float
        Li per metal of the layered lattice, at most 1.
    cluster_rock_salt : float
        Rock-salt share of the atoms in the middle of a cluster.
    valence_follows_rock_salt : bool
        Whether metals in rock salt are 2+.
    hypothesis : str
        What accounts for low valences, see `balance`; here also ``"segregation-lowers-valence"`` and
        ``"valence-patches"``.
    mn4_coupling, co3_coupling : float
        Valence share lost per share of the metals above the mean, for ``"segregation-lowers-valence"``.
    rectified : bool
        Whether only an excess counts.
    patches : float
        Amplitude of valence patches.
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
    lithium_layered: float = 1.0
    cluster_rock_salt: float = 0.0
    valence_noise: float = VALENCE_NOISE
    rock_salt_noise: float = ROCK_SALT_NOISE
    valence_follows_rock_salt: bool = True
    hypothesis: str = "none"
    mn4_coupling: float = 0.0
    co3_coupling: float = 0.0
    rectified: bool = True
    patches: float = 0.0

    def local(self, points_nm: Floats, depth_nm: Floats) -> Local:
        """Evaluate fields and cluster profiles at points (n, 3)."""
        decay = np.exp(-np.maximum(depth_nm, 0) / self.decay_nm)
        return Local(decay, self.waves(points_nm), self.clusters.profiles(points_nm))

    def evaluate(self, here: Local) -> Values:
        """Apply the constants."""
        atoms = self.rock_salt * (1 + self.rock_salt_noise * here.decay * here.waves[0])
        in_cluster = here.clusters.sum(axis=0)
        rock_salt = metals_in_rock_salt(atoms + in_cluster * (self.cluster_rock_salt - atoms))
        shares = self._metal_shares(here)
        divalent = rock_salt if self.valence_follows_rock_salt else np.zeros_like(rock_salt)
        mn4 = self._high_state(self.mn4, self.mn4_rise, here.waves[3], here, divalent)
        co3 = self._high_state(self.co3, self.co3_rise, here.waves[4], here, divalent)
        if self.hypothesis == "segregation-lowers-valence":
            mn4 = self._lowered(mn4, self.mn4_coupling, shares["Mn"] - self.metal_shares["Mn"])
            co3 = self._lowered(co3, self.co3_coupling, shares["Co"] - self.metal_shares["Co"])
        mn3 = (1 - mn4) * self.mn3_of_rest
        return balance(
            shares,
            {4: mn4, 3: mn3, 2: 1 - mn4 - mn3},
            {3: co3, 2: 1 - co3},
            rock_salt=rock_salt,
            spinel=self.spinel,
            lithium_layered=self.lithium_layered,
            hypothesis=self.hypothesis,
        )

    def _metal_shares(self, here: Local) -> dict[str, Floats]:
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
        return shares

    def _high_state(self, mean: float, rise: float, wave: Floats, here: Local, divalent: Floats) -> Floats:
        r0 = float(metals_in_rock_salt(np.array(self.rock_salt))) if self.valence_follows_rock_salt else 0.0
        p = (mean - rise * (here.decay - self.mean_decay)) * (1 - divalent) / (1 - r0)
        # Clipped only as a guard: the constants of the stages keep the law inside 0..1.
        p = np.clip(p, 0, 1)
        p = p + self.valence_noise * p * (1 - p) * np.tanh(wave)
        return np.clip(p + self.patches * np.tanh(2 * wave), 0, 1)

    def _lowered(self, high: Floats, coupling: float, excess: Floats) -> Floats:
        # A voxel that ought to lose more than it has, or gain more than there is, stops at 0 or 1.
        return np.clip(high - coupling * (np.maximum(excess, 0) if self.rectified else excess), 0, 1)


def calibrate(chemistry: Chemistry, here: Local, targets: dict[str, float], *, rounds: int = 6) -> Chemistry:
    """Shift the constants until the means over the calibration points equal the targets.

    Parameters
    ----------
    chemistry : Chemistry
        Start values.
    here : Local
        Fields at points that sample the particle evenly.
    targets : dict of str to float
        Mean fractions of Mn4, Mn3, Co3 (0 to 1), and of O, Mn and Co unless a hypothesis implies them.
    rounds : int
        Corrections; each shrinks the error at least tenfold.

    Returns
    -------
    Chemistry
    """
    for _ in range(rounds):
        values = chemistry.evaluate(here)
        if "O" in targets:
            chemistry = _with_composition(chemistry, values, targets)
        mn4, mn3 = (float(values.mn_valence[k].mean()) for k in (4, 3))
        chemistry = replace(
            chemistry,
            mn4=chemistry.mn4 + targets["Mn4"] - mn4,
            mn3_of_rest=chemistry.mn3_of_rest + (targets["Mn3"] - mn3) / max(1 - mn4, 1e-9),
            co3=chemistry.co3 + targets["Co3"] - float(values.co_valence[3].mean()),
        )
    return chemistry


def _with_composition(chemistry: Chemistry, values: Values, targets: dict[str, float]) -> Chemistry:
    mean = {name: float(v.mean()) for name, v in values.atomic_fractions.items()}
    shares = dict(chemistry.metal_shares)
    for el in ("Mn", "Co"):
        shares[el] += (targets[el] - mean[el]) / (1 - mean["O"])
    shares["Ni"] = 1 - shares["Mn"] - shares["Co"]
    # Rounding must not leave less than nothing in a particle without rock salt.
    rock_salt = max(chemistry.rock_salt - (targets["O"] - mean["O"]) / (LAYERED_OXYGEN - ROCK_SALT_OXYGEN), 0.0)
    return replace(chemistry, rock_salt=rock_salt, metal_shares=shares)


def calibrate_coupling(chemistry: Chemistry, here: Local, targets: dict[str, float], *, rounds: int = 8) -> Chemistry:
    """Scale the couplings of segregation to valence until the means of Mn4+ and Co3+ equal the targets.

    Parameters
    ----------
    chemistry : Chemistry
        Start values, with the shares of the core as `mn4` and `co3`.
    here : Local
        Fields at points that sample the particle evenly.
    targets : dict of str to float
        Mean Mn4 and Co3.
    rounds : int
        Corrections; saturation of single voxels makes them necessary.

    Returns
    -------
    Chemistry
    """
    for _ in range(rounds):
        values = chemistry.evaluate(here)
        lost_mn = chemistry.mn4 - float(values.mn_valence[4].mean())
        lost_co = chemistry.co3 - float(values.co_valence[3].mean())
        chemistry = replace(
            chemistry,
            mn4_coupling=chemistry.mn4_coupling * (chemistry.mn4 - targets["Mn4"]) / lost_mn,
            co3_coupling=chemistry.co3_coupling * (chemistry.co3 - targets["Co3"]) / lost_co,
        )
    return chemistry
