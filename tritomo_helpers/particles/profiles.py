"""Means against depth, of one particle and of a cycling stage."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._typing import Floats
from .._validation import check_broadcast, check_count, checked, fail
from ..constants import SCAN_STEP_NM
from ..containers import Tomogram
from ..phantoms import Phantom
from ._shell_sums import independent_voxels, shell_sums
from .shells import Shells, depth_shells


@dataclass(frozen=True, eq=False)
class DepthProfile:
    """A quantity against depth; arrays have one value a shell, shape (n_shells,).

    Parameters
    ----------
    depth_nm : ndarray
        Mean depth of the voxels of each shell, nm.
    mean, sd : ndarray
        Mean, and standard deviation of the voxels (divided by n): the paper calls that of a metal its inhomogeneity.
    n : ndarray of int
        Voxels with a value.
    standard_error : ndarray
        Of the mean, from the errors that were given; NaN where none were.
    """

    depth_nm: Floats
    mean: Floats
    sd: Floats
    n: NDArray[np.int64]
    standard_error: Floats


@checked
def depth_profile(
    values: Tomogram | ArrayLike,
    shells: Shells,
    *,
    voxel_size_nm: float | None = None,
    depth_nm: ArrayLike | None = None,
    noise_sd: float | ArrayLike | None = None,
    correlation_length_nm: float = 0.0,
    error_draws: ArrayLike | None = None,
    min_voxels: int = 1,
) -> DepthProfile:
    """Average a volume over each shell of a particle.

    Parameters
    ----------
    values : Tomogram or array_like, shape (z, y, x)
        Any unit. NaN voxels do not count.
    shells : ndarray of int, shape (z, y, x)
        From `shells` or `depth_shells`: 0 outside, 1 at the surface.
    voxel_size_nm : float, optional
        That of the tomogram by default, else 4.63 nm, the scan step of the paper.
    depth_nm : array_like, shape (z, y, x), optional
        Depth of every voxel where that is known (a phantom's); measured from the shells by default.
    noise_sd : float or array_like, optional
        Standard error of every voxel, one number or a volume: gives the standard error of each mean.
    correlation_length_nm : float, default 0
        How far errors are correlated, see `independent_voxels`. Tomograms are smooth: 0 makes the errors of means far
        too small.
    error_draws : array_like, shape (draw, z, y, x) or (draw, voxel of the particle), optional
        Draws of the error of the volume, instead of `noise_sd`: with all their correlations.
    min_voxels : int, default 1
        Shells with fewer voxels become NaN: deep inside, a mean says little.

    Returns
    -------
    DepthProfile

    Raises
    ------
    ValueError
        If the shapes differ, shells are no whole numbers, or no shell has enough voxels.

    Examples
    --------
    >>> from tritomo_helpers.particles import shells
    >>> cube = shells(np.ones((5, 5, 5), bool))
    >>> profile = depth_profile(10.0 * cube, cube, voxel_size_nm=2.0, noise_sd=2.0)
    >>> profile.mean, profile.depth_nm, profile.n
    (array([10., 20., 30.]), array([1., 3., 5.]), array([98, 26,  1]))
    >>> profile.standard_error.round(2)
    array([0.2 , 0.39, 2.  ])
    """
    check_count(min_voxels, "min_voxels")
    sums = shell_sums(values, shells, voxel_size_nm=voxel_size_nm, depth_nm=depth_nm)
    if min_voxels > sums.n.max():
        raise fail(
            "min_voxels",
            expected=f"at most {sums.n.max()}, the largest shell",
            got=min_voxels,
            remedy="lower it, or sample the particle more finely",
        )
    error = np.full(sums.n.size, np.nan)
    if error_draws is not None:
        error = np.std([sums.mean(draw) for draw in sums.draws(error_draws)], axis=0)
    elif noise_sd is not None:
        variance = check_broadcast(noise_sd, "noise_sd", sums.shells.shape)[sums.inside] ** 2
        measured = np.where(sums.inside, sums.shells, 0)
        worth = independent_voxels(
            measured, correlation_length_nm=correlation_length_nm, voxel_size_nm=sums.voxel_size_nm
        )
        error[: worth.size] = np.sqrt(sums.mean(variance)[: worth.size] / worth)
    few = sums.n < min_voxels
    columns = [sums.depth_nm, sums.mean(sums.values), np.sqrt(sums.variance(sums.values)), error]
    depth, mean, sd, error = (np.where(few, np.nan, column) for column in columns)
    return DepthProfile(depth, mean, sd, sums.n, error)


@checked
def true_profile(
    phantom: Phantom, quantity: str, *, thickness_nm: float = SCAN_STEP_NM, min_voxels: int = 200
) -> DepthProfile:
    """Return the depth profile of a phantom by the depth that it knows, where the paper peels voxels.

    Parameters
    ----------
    phantom : Phantom
    quantity : str
        As for `Phantom.tomogram`: at%, % of the element, or % of the atoms.
    thickness_nm : float, default 4.63
        Of a shell, nm.
    min_voxels : int, default 200
        Shells with fewer voxels, deep inside, are left out: their mean and spread say little.

    Returns
    -------
    DepthProfile

    Raises
    ------
    ValueError
        If there is no such quantity, or no shell holds enough voxels.

    Examples
    --------
    >>> from tritomo_helpers.phantoms import particle
    >>> profile = true_profile(particle("pristine-2", shape=32), "Mn4")
    >>> bool(profile.mean[-1] > profile.mean[0])  # Mn is reduced at the surface
    True
    """
    shells = depth_shells(np.where(phantom.mask, phantom.depth_nm, np.nan), thickness_nm=thickness_nm)
    volume = phantom.tomogram(quantity)
    profile = depth_profile(volume, shells, depth_nm=phantom.depth_nm, min_voxels=min_voxels)
    kept = profile.n >= min_voxels
    return DepthProfile(*(getattr(profile, field.name)[kept] for field in fields(DepthProfile)))


@dataclass(frozen=True, eq=False)
class StageProfile:
    """Profiles of several particles averaged shell by shell; arrays have shape (n_shells,).

    Parameters
    ----------
    depth_nm, mean : ndarray
        Means over the particles that reach each shell.
    sd : ndarray
        Standard deviation between them (divided by n - 1): the error bars of the paper. NaN where one is left.
    n_particles : ndarray of int
        How many reach it. Deep shells hold the big ones alone.
    from_membership : ndarray
        The part of `mean` that comes from *which* particles reach a shell and not from depth within any of them.
    """

    depth_nm: Floats
    mean: Floats
    sd: Floats
    n_particles: NDArray[np.int64]
    from_membership: Floats

    @property
    def within(self) -> Floats:
        """Depth dependence within particles: `mean` without `from_membership`."""
        return np.asarray(self.mean - self.from_membership)


@checked
def average(profiles: Sequence[DepthProfile]) -> StageProfile:
    r"""Average the depth profiles of the particles of one cycling stage, as the paper does, and say what that adds.

    Particles differ in composition and in size. The mean over those that reach a shell then changes with depth although
    each of them is flat: the paper met this with Co after 100 cycles. With :math:`m_p` the mean of particle p over its
    voxels, :math:`\langle m_p \rangle` over those that reach the shell minus that over all is this part.

    Parameters
    ----------
    profiles : sequence of DepthProfile
        One a particle. NaN shells do not count.

    Returns
    -------
    StageProfile

    Raises
    ------
    ValueError
        If there is none.

    Examples
    --------
    >>> flat = lambda value, n: DepthProfile(*(np.full(n, v) for v in (1.0, value, 0.0, 10, 0.0)))
    >>> both = average([flat(11.0, 2), flat(13.0, 3)])
    >>> both.mean, both.within
    (array([12., 12., 13.]), array([12., 12., 12.]))
    """
    if not profiles:
        raise fail("profiles", expected="at least one", got="none", remedy="give the profiles of a stage's particles")
    n_shells = max(profile.mean.size for profile in profiles)

    def rows(name: str) -> Floats:
        padded = np.full((len(profiles), n_shells), np.nan)
        for row, profile in zip(padded, profiles, strict=True):
            column = getattr(profile, name)
            row[: column.size] = column
        return padded

    means, depths = rows("mean"), rows("depth_nm")
    own = np.array([np.nansum(p.mean * p.n) / p.n[np.isfinite(p.mean)].sum() for p in profiles])
    reached = np.isfinite(means)
    n = reached.sum(axis=0)
    some = n > 0

    def over_particles(x: Floats) -> Floats:
        sums = np.where(reached, x, 0).sum(axis=0)
        return np.asarray(np.divide(sums, n, out=np.full(n_shells, np.nan), where=some))

    mean = over_particles(means)
    scatter = np.where(reached, (means - mean) ** 2, 0).sum(axis=0)
    sd = np.sqrt(np.divide(scatter, n - 1, out=np.full(n_shells, np.nan), where=n > 1))
    membership = over_particles(np.broadcast_to(own[:, None], means.shape)) - own.mean()
    return StageProfile(over_particles(depths), mean, sd, n, membership)
