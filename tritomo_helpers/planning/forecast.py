"""Everything that can be said of an experiment beforehand, in one call and one table.

References
----------
Those of the parts: `planning.clusters`, `planning.shells`, `planning.reach`; the dose is that of the paper.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from .._validation import check_positive, checked, fail
from ..simulation import Acquisition
from .clusters import Detectability, detectability
from .limits import Resolution, resolution, transmission
from .shells import ShellErrors, shell_errors


@dataclass(frozen=True, eq=False)
class Forecast:
    """What an experiment can see; printed, it is a table.

    Parameters
    ----------
    clusters : Detectability
        At the one rate of false alarms that was asked for.
    shells : ShellErrors
        Standard errors of one valence state.
    resolution : Resolution
        What tilts and pixels resolve.
    transmission : mapping of str to float
        Share of the X-rays from the middle that leaves the particle, by element.
    """

    clusters: Detectability
    shells: ShellErrors
    resolution: Resolution
    transmission: Mapping[str, float]

    def rows(self) -> dict[str, str]:
        """Return each quantity and its value with unit, as text."""
        clusters, shells, limits = self.clusters, self.shells, self.resolution
        rate = 100 * float(clusters.false_positive_rate[0])
        return {
            "signal over noise of a cluster": f"{clusters.snr_anywhere:.1f}",
            "... in the middle, at the surface": f"{clusters.snr:.1f}, {clusters.snr_at_surface:.1f}",
            f"recall at {rate:g} % of the places": f"{100 * clusters.recall[0]:.0f} %",
            "spots that noise alone makes": f"{clusters.false_spots[0]:.0f}",
            "precision": f"{100 * clusters.precision[0]:.0f} %",
            "error of a valence, outermost shell": f"{shells.error[0]:.2f} points",
            "... core, mean of the particle": f"{shells.error[-1]:.1f}, {shells.particle:.2f} points",
            "resolution across, along the beam": f"{limits.across_nm:.1f}, {limits.along_beam_nm:.1f} nm",
            "X-rays that leave from the middle": ", ".join(
                f"{el} {100 * t:.0f} %" for el, t in self.transmission.items()
            ),
        }

    def __str__(self) -> str:
        return "\n".join(f"{quantity:36s} {value}" for quantity, value in self.rows().items())


@checked
def forecast(
    acquisition: Acquisition,
    *,
    particle_nm: float,
    radius_nm: float,
    contrast_at_percent: float,
    element: str = "Mn",
    fractions: Mapping[str, float] | None = None,
    n_clusters: float = 14.0,
    state: str = "Mn4",
    false_positive_rate: float = 0.01,
) -> Forecast:
    """Say what an experiment can see: clusters, valence of shells, resolution, absorption.

    Parameters
    ----------
    acquisition : Acquisition
        Dose, tilts, pixels, detectors and spectrometer.
    particle_nm : float
        Diameter of a round particle.
    radius_nm, contrast_at_percent, element, n_clusters
        Of the clusters, see `detectability`.
    fractions : mapping of str to float, optional
        Mean atomic fractions of the particle, for clusters and X-rays; NCM111 by default. Valence is that of NCM111.
    state : {"Mn4", "Mn3", "Mn2", "Co3", "Co2"}
        Of which the errors are wanted, in shells of two pixels.
    false_positive_rate : float, default 0.01
        Share of the places that may be marked by noise alone.

    Returns
    -------
    Forecast

    Raises
    ------
    ValueError
        As `detectability` and `shell_errors` do.

    Examples
    --------
    >>> print(forecast(Acquisition(), particle_nm=170, radius_nm=6.5, contrast_at_percent=9))  # doctest: +ELLIPSIS
    signal over noise of a cluster       ...
    >>> forecast(Acquisition(), particle_nm=170, radius_nm=6.5, contrast_at_percent=9).rows()["precision"][-1]
    '%'
    """
    rate = check_positive(false_positive_rate, "false_positive_rate")
    if rate >= 1:
        raise fail("false_positive_rate", expected="between 0 and 1", got=rate, remedy="try 0.01 for 1 %")
    return Forecast(
        detectability(
            acquisition,
            particle_nm=particle_nm,
            radius_nm=radius_nm,
            contrast_at_percent=contrast_at_percent,
            element=element,
            fractions=fractions,
            n_clusters=n_clusters,
            false_positive_rate=[rate],
        ),
        shell_errors(acquisition, particle_nm=particle_nm, state=state, shell_nm=2 * acquisition.pixel_size_nm),
        resolution(acquisition, particle_nm=particle_nm),
        transmission(particle_nm=particle_nm, fractions=fractions),
    )
