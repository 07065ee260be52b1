"""A picture of the axes, the beam and the sign of a tilt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._validation import check_shape, checked, fail


@checked
def show_geometry(
    angles_deg: Sequence[float], *, centers_nm: ArrayLike, radii_nm: ArrayLike, reach_nm: float = 150.0
) -> NDArray[np.object_]:
    r"""Draw balls in the x-z plane with beam and image axis, one panel per tilt.

    Each ball is joined to its place :math:`u = x\cos t - z\sin t` on the image axis by a thin line along the beam
    :math:`\mathbf n = (\sin t, 0, \cos t)`.

    Parameters
    ----------
    angles_deg : sequence of float
        Tilts, degrees.
    centers_nm : array_like, shape (n, 3)
        (x, y, z) of each ball, nm; those off the plane are drawn where they project along y.
    radii_nm : array_like, shape (n,)
        Radii, nm.
    reach_nm : float, default 150
        Half of the width shown, nm.

    Returns
    -------
    ndarray of Axes, shape (n_angles,)

    Raises
    ------
    ValueError
        If there is no angle, or centers and radii do not match.

    Examples
    --------
    >>> axes = show_geometry([0, 30], centers_nm=[[0, 0, 110]], radii_nm=[17])
    >>> [a.get_title() for a in axes]
    ['0°', '+30°']
    """
    import matplotlib.pyplot as plt
    from matplotlib.patches import Circle

    centers, radii = (
        np.atleast_2d(np.asarray(centers_nm, dtype=float)),
        np.atleast_1d(np.asarray(radii_nm, dtype=float)),
    )
    check_shape(centers, "centers_nm", (radii.size, 3), remedy="give (x, y, z) for every radius")
    if not len(angles_deg):
        raise fail("angles_deg", expected="at least one tilt", got="none", remedy="give angles in degrees")
    _, grid = plt.subplots(1, len(angles_deg), figsize=(5.8, 5.8 / len(angles_deg) + 0.5), sharey=True, squeeze=False)
    for ax, angle in zip(grid[0], angles_deg, strict=True):
        t = np.deg2rad(angle)
        beam, across = np.array([np.sin(t), np.cos(t)]), np.array([np.cos(t), -np.sin(t)])
        screen = 0.93 * reach_nm * beam
        arrow: dict[str, Any] = {"arrowstyle": "-|>", "linewidth": 1.8, "shrinkA": 0, "shrinkB": 0}
        for (x, _, z), radius in zip(centers, radii, strict=True):
            foot = (x * across[0] + z * across[1]) * across + screen
            ax.plot([x, foot[0]], [z, foot[1]], color="0.55", linewidth=1, linestyle=":")
            ax.plot(*foot, marker="o", color="#0072B2", markersize=4)
            ax.add_patch(Circle((x, z), radius, facecolor="0.8", edgecolor="0.3"))
        ends = np.array([-1, 1])[:, None] * 0.95 * reach_nm * across + screen
        ax.annotate("", ends[1], ends[0], arrowprops={**arrow, "color": "#0072B2"})
        ax.text(
            *(0.8 * reach_nm * across + screen - 0.16 * reach_nm * beam), "u", color="#0072B2", ha="center", va="center"
        )
        start = -0.95 * reach_nm * beam
        ax.annotate("", start * 0.45, start, arrowprops={**arrow, "color": "#D55E00"})
        ax.text(*(0.72 * start + 0.14 * reach_nm * across), "n", color="#D55E00", ha="center", va="center")
        ax.set(xlim=(-1.4 * reach_nm, 1.4 * reach_nm), ylim=(1.4 * reach_nm, -1.4 * reach_nm), aspect="equal")
        ax.set(xlabel="x (nm)", title=f"{angle:+g}°" if angle else "0°", xticks=[-100, 0, 100])
    grid[0, 0].set(ylabel="z (nm)", yticks=[-100, 0, 100])
    return np.asarray(grid[0], dtype=object)
