"""The truth of each cycling stage, in one place: what the paper reports and what we had to choose.

"paper" is Oh et al., "Correlative 3D Mapping ... via Simultaneous ADF-EDS-EELS Tomography", Results. "ours" marks a
choice made here because the paper gives a trend, a picture or nothing. Percentages are over O + Mn + Co + Ni.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from .._validation import check_option, checked

FIELD_OF_VIEW_NM: Final = 64 * 4.63
"""Side of the scanned square, and of the cube in which a phantom is sampled: 64 pixels of 4.63 nm (paper)."""

RICH_THRESHOLD_AT_PERCENT: Final = 50 / 3
"""A metal above this is "rich" (paper: 16.7 at%, the share of one of three metals in rock salt)."""

HYPOTHESES: Final = (
    "oxygen-vacancy",
    "lithium-excess",
    "surface-rock-salt",
    "segregation-lowers-valence",
    "surface-fluoride",
    "valence-patches",
)
"""Explanations of the low valence near the surface of pristine particles, and one pattern without any trend."""

CONTROLS: Final = ("none", "null", "valence-only", "segregation-only", *HYPOTHESES, "large-clusters")
"""Everything that `particle` can make: hypotheses of pristine particles, large clusters of those after 200 cycles."""


@checked
def controls_of(stage: str) -> tuple[str, ...]:
    """Return the controls that a stage has.

    Examples
    --------
    >>> controls_of("cycled-200")
    ('none', 'null', 'valence-only', 'segregation-only', 'large-clusters')
    """
    own = {"pristine": HYPOTHESES, "cycled-200": ("large-clusters",)}
    return ("none", "null", "valence-only", "segregation-only", *own.get(stage, ()))


@dataclass(frozen=True)
class Stage:
    """Truth of one cycling stage; every percentage is the mean over a particle's voxels.

    Parameters
    ----------
    o_at_percent : float
        Oxygen. Paper: 66.0 to 67.0 up to 100 cycles and 61.0 at 200; pristine 6:1:1:1 is how the paper sets its
        k-factors. The values inside the range are ours.
    spinel : float
        Share of spinel-like lattice in what is not rock salt (ours; the paper sees it in images after 100 cycles).
    mn4, mn3, mn2, co3, co2 : float
        Valence, % of the element. Paper: 80.7/7.2/12.1 and 77.5/22.5 at 100 cycles, 53.4/4.6/42.0 and 11.0/89.0 at
        200, Mn4+ "approximately 10 %" lower at 50 than in the pristine state, Mn3+ higher, Mn2+ a little higher than
        at 100, Co3+ "relatively stable" before 200. The other numbers are ours.
    mn4_rise, co3_rise : float
        Core minus surface of the depth law m - rise * (exp(-depth/decay) - mean), in points. Sign from the paper (up
        to 100 cycles both rise with depth, at 200 both fall), size ours.
    fluctuation : dict of str to float
        Standard deviation of Mn and Co at the surface, at%, decaying as exp(-depth/decay). Paper: exponential-like
        decay, lower at 50 cycles than in the pristine state, then growing. Size ours.
    rich : dict of str to float
        Volume of metal-rich clusters, %. Paper: "almost negligible" up to 50 cycles, 0.1 at 100, 0.2 to 0.5 at 200,
        about twice that at the surface, Co most, then Ni, then Mn. The split between the metals is ours.
    lithium_layered : float
        Li per metal of the layered lattice. Paper: 49.3 of 49.3 + 50.7 in the pristine powder (ICP-OES), 0.97. After
        cycling nobody measured it; ours is the limit of 1, which leaves nickel the least to explain.
    cluster_rock_salt : float
        Rock-salt share of the atoms in the middle of a cluster (ours; the paper expects lower valence there). Valence
        follows: about 30 % of the high-valence ions are reduced.
    """

    o_at_percent: float
    spinel: float
    mn4: float
    mn3: float
    mn2: float
    co3: float
    co2: float
    mn4_rise: float
    co3_rise: float
    fluctuation: MappingProxyType[str, float]
    rich: MappingProxyType[str, float]
    lithium_layered: float = 1.0
    cluster_rock_salt: float = 0.0


def _metals(**values: float) -> MappingProxyType[str, float]:
    return MappingProxyType(values)


STAGES: Final = MappingProxyType(
    {
        "pristine": Stage(
            o_at_percent=200 / 3,  # paper: 6:1:1:1
            spinel=0.0,  # paper: layered, no second phase
            mn4=84.5,  # ours: 10 points above 50 cycles
            mn3=4.0,  # ours
            mn2=11.5,  # ours
            co3=80.0,  # ours
            co2=20.0,
            mn4_rise=26.0,  # ours: the core comes out close to the ideal Mn4+, as the paper finds
            co3_rise=32.0,  # ours: the same for Co3+
            fluctuation=_metals(Mn=0.75, Co=0.80),  # ours
            rich=_metals(Mn=0.0, Co=0.0, Ni=0.0),  # paper: almost negligible
            lithium_layered=49.3 / 50.7,  # paper: ICP-OES
        ),
        "cycled-50": Stage(
            o_at_percent=66.5,
            spinel=0.25,
            mn4=74.5,  # paper: about 10 points below pristine
            mn3=12.5,  # paper: increases; number ours
            mn2=13.0,  # paper: "slightly declines" from here to 100 cycles; number ours
            co3=78.5,
            co2=21.5,
            mn4_rise=20.0,
            co3_rise=20.0,
            fluctuation=_metals(Mn=0.40, Co=0.45),  # paper: drops
            rich=_metals(Mn=0.0, Co=0.0, Ni=0.0),  # paper: almost negligible
        ),
        "cycled-100": Stage(
            o_at_percent=66.2,
            spinel=0.50,
            mn4=80.7,  # paper, as the next four
            mn3=7.2,
            mn2=12.1,
            co3=77.5,
            co2=22.5,
            mn4_rise=20.0,
            co3_rise=20.0,
            fluctuation=_metals(Mn=0.55, Co=0.60),  # paper: grows
            rich=_metals(Mn=0.07, Co=0.13, Ni=0.10),  # paper: 0.1, Co > Ni > Mn
            cluster_rock_salt=0.25,  # ours
        ),
        "cycled-200": Stage(
            o_at_percent=61.0,  # paper
            spinel=0.50,
            mn4=53.4,  # paper, as the next four
            mn3=4.6,
            mn2=42.0,
            co3=11.0,
            co2=89.0,
            mn4_rise=-16.0,
            co3_rise=-10.0,
            fluctuation=_metals(Mn=0.75, Co=0.80),  # paper: grows; with the clusters more than in the pristine state
            rich=_metals(Mn=0.20, Co=0.50, Ni=0.35),  # paper: 0.2 to 0.5
            cluster_rock_salt=0.50,  # ours
        ),
    },
)
"""Truth of the four cycling stages."""


@dataclass(frozen=True)
class Specimen:
    """What distinguishes one particle from the others of its stage (all of it ours).

    Parameters
    ----------
    stage : str
        Key of `STAGES`.
    feret_nm : float
        Largest extent in any direction, nm.
    co_offset : float
        Co above the stage mean, at%; Mn and Ni give half each.
    """

    stage: str
    feret_nm: float
    co_offset: float = 0.0


SPECIMENS: Final = MappingProxyType(
    {
        "pristine-1": Specimen("pristine", 212.0),
        "pristine-2": Specimen("pristine", 248.0),
        "pristine-3": Specimen("pristine", 183.0),
        "pristine-4": Specimen("pristine", 158.0),
        "cycled-50-1": Specimen("cycled-50", 236.0),
        "cycled-50-2": Specimen("cycled-50", 195.0),
        # Bigger particles hold more Co: alone each is flat with depth, but only the big ones reach the deepest shells,
        # so that the mean profile seems to rise. The paper saw such an artifact, "particularly for Co".
        "cycled-100-1": Specimen("cycled-100", 262.0, co_offset=1.2),
        "cycled-100-2": Specimen("cycled-100", 228.0, co_offset=0.4),
        "cycled-100-3": Specimen("cycled-100", 192.0, co_offset=-0.4),
        "cycled-100-4": Specimen("cycled-100", 164.0, co_offset=-1.2),
        "cycled-200-1": Specimen("cycled-200", 242.0),
        "cycled-200-2": Specimen("cycled-200", 204.0),
    },
)
"""The twelve particles: four pristine, two after 50 cycles, four after 100, two after 200 (paper)."""


@checked
def names(stage: str | None = None) -> list[str]:
    """Return the names of the particles, all twelve or those of one stage.

    Parameters
    ----------
    stage : {"pristine", "cycled-50", "cycled-100", "cycled-200"}, optional
        Which stage; all by default.

    Returns
    -------
    list of str

    Raises
    ------
    ValueError
        If there is no such stage.

    Examples
    --------
    >>> names("cycled-200")
    ['cycled-200-1', 'cycled-200-2']
    """
    if stage is None:
        return list(SPECIMENS)
    check_option(stage, "stage", STAGES)
    return [name for name, specimen in SPECIMENS.items() if specimen.stage == stage]
