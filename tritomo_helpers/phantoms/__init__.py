"""Specimens with known truth: twelve cathode particles, their controls, and test objects.

A phantom is a function of position, so it can be sampled on any grid (`particle`, `Phantom.sample`) and integrated
along any ray (`Phantom.areal_densities`) without ever touching the operators that reconstruct it.

Source of composition, valence, size and phases of the particles: the paper's results.
"""

import numpy as np
from numpy.typing import ArrayLike

from .._validation import check_option, check_positive, check_shape, checked, fail
from .balance import METALS, SPECIES
from .chemistry import Coupling
from .phantom import Phantom, sampled
from .report import truth_table
from .specimen import balls_body, body
from .stages import (
    CONTROLS,
    FIELD_OF_VIEW_NM,
    HYPOTHESES,
    RICH_THRESHOLD_AT_PERCENT,
    SPECIMENS,
    STAGES,
    Specimen,
    Stage,
    controls_of,
    names,
)

__all__ = [
    "CONTROLS",
    "FIELD_OF_VIEW_NM",
    "HYPOTHESES",
    "METALS",
    "RICH_THRESHOLD_AT_PERCENT",
    "SPECIES",
    "SPECIMENS",
    "STAGES",
    "Coupling",
    "Phantom",
    "Specimen",
    "Stage",
    "balls",
    "chiral",
    "controls_of",
    "names",
    "particle",
    "truth_table",
]


@checked
def particle(
    name: str, *, shape: int = 64, null: bool = False, control: str = "none", coupling: Coupling | None = None
) -> Phantom:
    """Build one of the twelve particles, or a control of the same shape.

    Parameters
    ----------
    name : str
        ``"pristine-1"`` to ``"cycled-200-2"``, see `names`.
    shape : int, default 64
        Voxels along each side of the 296.32 nm cube, 4 to 256: the truth is the same, the sampling changes. The volumes
        take 140 bytes per voxel, 37 MB at 64.
    null : bool, default False
        Short for ``control="null"``.
    control : str, default "none"
        ``"null"``: everything homogeneous, at the particle's own means. ``"valence-only"``: homogeneous composition,
        true valence. ``"segregation-only"``: true composition, homogeneous valence.

        Pristine particles, with their published depth law of valence and the composition that each explanation of it
        implies: ``"oxygen-vacancy"``, ``"lithium-excess"``, ``"surface-rock-salt"``, ``"surface-fluoride"``,
        ``"segregation-lowers-valence"``. Besides, ``"valence-patches"``: patches of about 40 nm, 15 points above and
        below the mean, without any radial trend.

        After 200 cycles, ``"large-clusters"``: the same rich volume in few clusters of 10 to 13 nm radius.
    coupling : Coupling, optional
        Strength and kind of ``"segregation-lowers-valence"``; by default what the depth law demands.

    Returns
    -------
    Phantom

    Raises
    ------
    ValueError
        If name, control or shape is not one of these, or the particle's stage does not have the control.

    Examples
    --------
    >>> phantom = particle("cycled-200-1", shape=16, null=True)
    >>> float(np.nanstd(phantom.atomic_fractions["Co"])) < 1e-12
    True
    """
    check_option(name, "name", SPECIMENS)
    check_option(control, "control", CONTROLS)
    if null and control not in ("none", "null"):
        raise fail(
            "control", expected="'null' or nothing beside null=True", got=repr(control), remedy="give one of them"
        )
    if null:
        control = "null"
    stage = SPECIMENS[name].stage
    if control not in controls_of(stage):
        raise fail(
            "control",
            expected=f"one of {', '.join(controls_of(stage))} for a particle of stage {stage}",
            got=repr(control),
            remedy="hypotheses need a pristine particle, large clusters one after 200 cycles",
        )
    if coupling is not None and control != "segregation-lowers-valence":
        raise fail(
            "coupling",
            expected="control='segregation-lowers-valence' beside it",
            got=f"control={control!r}",
            remedy="give no coupling, or that control",
        )
    return sampled(name, stage, control, body(name, control, coupling or Coupling()), _check_shape(shape))


@checked
def balls(centers_nm: ArrayLike, radii_nm: ArrayLike, *, shape: int = 64) -> Phantom:
    """Build homogeneous balls of ideal NCM111, a test object whose projections are known in closed form.

    Parameters
    ----------
    centers_nm : array_like, shape (n, 3)
        (x, y, z), nm.
    radii_nm : array_like, shape (n,)
        nm; the balls must not overlap.
    shape : int, default 64
        Voxels along each side.

    Returns
    -------
    Phantom

    Raises
    ------
    ValueError
        If the shapes disagree, a radius is not positive or two balls overlap.

    Examples
    --------
    >>> ball = balls([[0, 0, 0]], [60], shape=16)
    >>> oxygen = ball.areal_densities(30, [0.0], [0.0])["O"][0, 0]
    >>> round(float(oxygen / 120), 1)  # atoms per nm³ along a diameter of 120 nm
    59.6
    """
    centers = np.atleast_2d(np.asarray(centers_nm, dtype=np.float64))
    radii = np.atleast_1d(np.asarray(radii_nm, dtype=np.float64))
    check_shape(centers, "centers_nm", (radii.size, 3), remedy="give one center (x, y, z) for every radius")
    for radius in radii:
        check_positive(float(radius), "radii_nm")
    distance = np.linalg.norm(centers[:, None] - centers, axis=2)
    touching = distance < radii[:, None] + radii
    np.fill_diagonal(touching, val=False)
    if touching.any():
        raise fail("centers_nm", expected="balls apart", got="overlapping balls", remedy="move or shrink them")
    return sampled("balls", "test object", "none", balls_body(centers, radii), _check_shape(shape))


@checked
def chiral(*, shape: int = 64) -> Phantom:
    """Build four balls that no rotation turns into their mirror image: the test of every sign convention.

    The largest lies at the origin, the others at different distances along +x, +y and +z.

    Examples
    --------
    >>> chiral(shape=16).mask.any()
    np.True_
    """
    return balls([[0, 0, 0], [75, 0, 0], [0, 95, 0], [0, 0, 110]], [40, 28, 22, 17], shape=shape)


def _check_shape(shape: int) -> int:
    if isinstance(shape, bool) or not isinstance(shape, int | np.integer) or not 4 <= shape <= 256:
        raise fail("shape", expected="an integer from 4 to 256", got=repr(shape), remedy="give the voxels per side")
    return int(shape)
