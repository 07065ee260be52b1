"""Reference spectra of valence states: the two computed sets that ship with the package, and your own measured ones.

All of them live in the same plain file: comment lines that begin with ``#``, a header ``energy_ev,<state>,<state>``,
and one row per energy. States are named element + valence: ``Mn4``, ``Co2``.
"""

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import ArrayLike

from .._typing import Floats
from .._validation import check_finite, check_increasing, check_option, check_positive, check_shape, fail
from ..constants import D_HOLES, EDGE_ONSET_EV, SPECIES_ELEMENT
from .continuum import continuum

SETS: Final = ("crystal-field", "charge-transfer")
"""Names of the computed sets. They differ in shape, so that data made with one can be analyzed with the other."""

WHITE_LINE_EV_PER_HOLE: Final = 5.5
"""Area of the white lines per 3d hole over the step of the Dirac-Hartree-Slater continuum, eV.

The same cross-section is 7.0 / 7.0 / 7.6 eV (Mn / Co / Ni) over the lower step of the hydrogenic continuum, the default
one: say which step when you quote it. Set on real data: forward fits of the dual-EELS line scan of a La-Sr manganite
film (LSMO_linescan_dualEELS) give 4.1 to 5.6 eV of the Dirac-Hartree-Slater step, depending on the continuum that is
fitted, the stretch of the film and the energy shift. X-ray absorption of iron and cobalt metal gives 6 to 8 eV
(Chen et al., Phys. Rev. Lett. 75, 152, 1995; Srivastava et al., Phys. Rev. B 58, 5701, 1998). So it is known within a
factor of :data:`WHITE_LINE_UNCERTAINTY`. It sets how tall the white lines of the twin are, not how they compare between
valences.
"""
WHITE_LINE_UNCERTAINTY: Final = 1.5
"""Factor, up or down, within which :data:`WHITE_LINE_EV_PER_HOLE` is known: the range of a sensitivity figure."""
# The step is read where the optical continuum is past its threshold structure.
_STEP_READ_EV: Final = 30.0


@dataclass(frozen=True, eq=False)
class ReferenceSet:
    """L2,3 spectra of the valence states of one element on one energy axis.

    Parameters
    ----------
    name : str
        Where they come from: ``"crystal-field"``, ``"charge-transfer"`` or the name of a file.
    states : tuple of str
        Such as ``("Mn4", "Mn3", "Mn2")``; all of one element.
    energy_ev : array_like, shape (energy,)
        Strictly increasing, eV.
    spectra : array_like, shape (state, energy)
        White lines. In the computed sets the unit is 3d holes per eV: the area of a spectrum is its effective number of
        holes. Measured sets may have any unit, the same for all states.
    notes : tuple of str, default ()
        Comment lines of the file.

    Raises
    ------
    ValueError
        If the shapes disagree, a state is unknown, or values are not finite.

    References
    ----------
    Wang et al., Comput. Phys. Commun. 243, 151 (2019), by which the shipped sets were computed.

    Examples
    --------
    >>> references = load("Mn")
    >>> references.states, references.spectra.shape
    (('Mn4', 'Mn3', 'Mn2'), (3, 1701))
    """

    name: str
    states: tuple[str, ...]
    energy_ev: Floats
    spectra: Floats
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for state in self.states:
            check_option(state, "state", tuple(D_HOLES))
        if len({SPECIES_ELEMENT[state] for state in self.states}) != 1:
            raise fail(
                "states",
                expected="valence states of one element",
                got=", ".join(self.states) or "none",
                remedy="put each element into its own set",
            )
        energy = check_increasing(self.energy_ev, "energy_ev")
        spectra = np.array(self.spectra, dtype=np.float64)
        check_shape(spectra, "spectra", (len(self.states), energy.size), remedy="give one spectrum per state")
        check_finite(spectra, "spectra")
        for array in (energy, spectra):
            array.flags.writeable = False
        object.__setattr__(self, "energy_ev", energy)
        object.__setattr__(self, "spectra", spectra)

    @property
    def element(self) -> str:
        """Chemical symbol."""
        return SPECIES_ELEMENT[self.states[0]]

    @property
    def holes(self) -> Floats:
        """Empty 3d orbitals of the ionic picture, one per state."""
        return np.array([D_HOLES[state] for state in self.states], dtype=np.float64)

    @property
    def areas(self) -> Floats:
        """Integral of each spectrum over its axis; for the computed sets the effective number of holes."""
        return np.asarray(np.trapezoid(self.spectra, self.energy_ev, axis=1))

    def on(self, energy_ev: ArrayLike) -> Floats:
        """Interpolate to another axis; zero outside.

        Parameters
        ----------
        energy_ev : array_like, shape (n,)
            Energies, eV.

        Returns
        -------
        ndarray, shape (state, n)
        """
        energies = np.asarray(energy_ev, dtype=np.float64)
        return np.stack([np.interp(energies, self.energy_ev, row, left=0.0, right=0.0) for row in self.spectra])

    def changed(self, *, shift_ev: float = 0.0, fwhm_ev: float = 0.0, l3_l2_factor: float = 1.0) -> Self:
        """Return the set moved, broadened, or with other L3/L2 ratios: the ways in which references go wrong.

        Parameters
        ----------
        shift_ev : float, default 0
            Added to all energies of the features, eV.
        fwhm_ev : float, default 0
            Gaussian broadening, eV.
        l3_l2_factor : float, default 1
            L3/L2 is multiplied by this at constant area; the two are cut at the valley between them.

        Returns
        -------
        ReferenceSet

        Examples
        --------
        >>> moved = load("Co").changed(shift_ev=0.5)
        >>> bool(np.isclose(moved.areas[0], load("Co").areas[0], rtol=1e-3))
        True
        """
        from scipy.ndimage import gaussian_filter1d

        check_positive(fwhm_ev, "fwhm_ev", zero_ok=True)
        check_positive(l3_l2_factor, "l3_l2_factor")
        spectra = np.array(self.spectra)
        if l3_l2_factor != 1:
            for row in spectra:
                area, above = row.sum(), self.energy_ev >= self._valley_ev(row)
                row[above] /= l3_l2_factor
                row *= area / row.sum()
        step = (self.energy_ev[-1] - self.energy_ev[0]) / (self.energy_ev.size - 1)
        if fwhm_ev > 0:
            spectra = gaussian_filter1d(spectra, fwhm_ev / np.sqrt(8 * np.log(2)) / step, axis=1, mode="constant")
        if shift_ev != 0:
            at = self.energy_ev - shift_ev
            spectra = np.stack([np.interp(at, self.energy_ev, row, left=0.0, right=0.0) for row in spectra])
        return type(self)(self.name, self.states, self.energy_ev, spectra, self.notes)

    def valleys_ev(self) -> Floats:
        """Energy of the lowest point between the L3 and the L2 line of each state, eV, shape (state,).

        Examples
        --------
        >>> load("Mn").valleys_ev().round()
        array([650., 647., 648.])
        """
        return np.array([self._valley_ev(row) for row in self.spectra])

    def _valley_ev(self, row: Floats) -> float:
        """Lowest point between the L3 maximum and the L2 line."""
        gap = EDGE_ONSET_EV[self.element, "L2"] - EDGE_ONSET_EV[self.element, "L3"]
        peak = self.energy_ev[np.argmax(row)]
        between = np.flatnonzero((self.energy_ev > peak + 0.3 * gap) & (self.energy_ev < peak + 0.9 * gap))
        return float(self.energy_ev[between[np.argmin(row[between])]])

    def l3_l2_ratios(self) -> Floats:
        """L3/L2 area ratio of each spectrum, cut at the valley between the two.

        Returns
        -------
        ndarray, shape (state,)

        Examples
        --------
        >>> load("Mn").l3_l2_ratios().round(1)
        array([2.2, 2.7, 4.5])
        """
        ratios = []
        for row in self.spectra:
            below = self.energy_ev < self._valley_ev(row)
            ratios.append(row[below].sum() / row[~below].sum())
        return np.array(ratios)


def load(element: str, name: str = "crystal-field") -> ReferenceSet:
    """Load the computed reference spectra of Mn, Co or Ni.

    Parameters
    ----------
    element : str
        ``"Mn"`` (600 to 770 eV), ``"Co"`` or ``"Ni"`` (720 to 910 eV).
    name : str, default ``"crystal-field"``
        Or ``"charge-transfer"``: other shapes, fewer effective holes.

    Returns
    -------
    ReferenceSet
        In 3d holes per eV.

    Raises
    ------
    ValueError
        If the element or the set is unknown.

    Notes
    -----
    Shapes and areas are theory (edrixs, Wang et al., Comput. Phys. Commun. 243, 151, 2019); energies, L3/L2 ratios and
    widths are set to published values. ``tools/make_reference_spectra.py`` says which, and makes the files.

    Examples
    --------
    >>> load("Mn").areas.round(2)
    array([7., 6., 5.])
    """
    check_option(element, "element", ("Mn", "Co", "Ni"))
    check_option(name, "name", SETS)
    text = (files(__package__) / "data" / f"{name}-{element}.csv").read_text(encoding="utf-8")
    return _parse(text, name)


def read(path: str | Path) -> ReferenceSet:
    r"""Read your own reference spectra from a file like the ones that ship.

    Parameters
    ----------
    path : path
        CSV: optional ``#`` comments, header ``energy_ev,Mn4,Mn3,...``, then numbers. Subtract background and continuum
        first, or fit them along.

    Returns
    -------
    ReferenceSet
        Named after the file.

    Raises
    ------
    ValueError
        If the header or a row is not as above.
    FileNotFoundError
        If there is no such file.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "mine.csv"
    >>> _ = path.write_text("energy_ev,Co3,Co2\n770,0,0\n780,1,2\n790,0,1\n")
    >>> read(path).states
    ('Co3', 'Co2')
    """
    path = Path(path)
    return _parse(path.read_text(encoding="utf-8"), path.stem)


def write(references: ReferenceSet, path: str | Path) -> None:
    """Write a set to a file that :func:`read` accepts.

    Parameters
    ----------
    references : ReferenceSet
    path : path
        An existing file is replaced.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "mn.csv"
    >>> write(load("Mn"), path)
    >>> bool(np.allclose(read(path).spectra, load("Mn").spectra))
    True
    """
    rows = [f"# {note}" for note in references.notes] + [",".join(["energy_ev", *references.states])]
    rows += [
        ",".join(f"{value:.10g}" for value in row)
        for row in np.column_stack([references.energy_ev, references.spectra.T]).tolist()
    ]
    Path(path).write_text("\n".join(rows) + "\n", encoding="utf-8")


def _parse(text: str, name: str) -> ReferenceSet:
    rows = [row.strip() for row in text.splitlines() if row.strip()]
    notes = tuple(row.lstrip("# ") for row in rows if row.startswith("#"))
    rows = [row for row in rows if not row.startswith("#")]
    header = [part.strip() for part in rows[0].split(",")] if rows else []
    if len(header) < 2 or header[0] != "energy_ev":
        raise fail(
            f"reference file {name}",
            expected="a header such as energy_ev,Mn4,Mn3,Mn2",
            got=repr(rows[0][:60]) if rows else "an empty file",
            remedy="name the columns in the first row that is not a comment",
        )
    try:
        table = np.array([[float(part) for part in row.split(",")] for row in rows[1:]])
    except ValueError as error:
        raise fail(
            f"reference file {name}",
            expected=f"{len(header)} numbers in every row",
            got=str(error),
            remedy="write numbers with a decimal point, separated by commas",
        ) from None
    if table.ndim != 2 or table.shape[1] != len(header):
        raise fail(
            f"reference file {name}",
            expected=f"{len(header)} columns, one per name in the header",
            got=f"a table of shape {table.shape}",
            remedy="complete the rows or the header",
        )
    return ReferenceSet(name, tuple(header[1:]), table[:, 0], table[:, 1:].T, notes)


def white_line_cross_section(
    element: str,
    *,
    beam_energy_kev: float = 300.0,
    convergence_angle_mrad: float = 25.2,
    collection_angle_mrad: float = 100.0,
    ev_per_hole: float = WHITE_LINE_EV_PER_HOLE,
) -> float:
    r"""Cross-section of the white lines per 3d hole: what turns references in holes per eV into barn/eV/atom.

    The optical strength of a hole is `ev_per_hole` times the step of the photo-absorption (the Dirac-Hartree-Slater
    continuum) at the edge, whatever continuum model is simulated or fitted beside it; the angular factor is the one of
    the hydrogenic continuum at the edge.

    Parameters
    ----------
    element : str
        ``"Mn"``, ``"Co"`` or ``"Ni"``.
    beam_energy_kev, convergence_angle_mrad, collection_angle_mrad : float
        The microscope.
    ev_per_hole : float, default 5.5
        Over the Dirac-Hartree-Slater step; see :data:`WHITE_LINE_EV_PER_HOLE`.

    Returns
    -------
    float
        barn per atom and hole.

    Examples
    --------
    >>> round(white_line_cross_section("Mn"))
    218
    """
    onset = EDGE_ONSET_EV[element, "L3"]
    step = continuum(
        f"{element} L",
        [onset + _STEP_READ_EV],
        beam_energy_kev=beam_energy_kev,
        convergence_angle_mrad=convergence_angle_mrad,
        collection_angle_mrad=collection_angle_mrad,
        model="dirac-hartree-slater",
    )[0]
    return float(check_positive(ev_per_hole, "ev_per_hole") * step)
