"""What a file holds, without reading its counts."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .._validation import checked
from ._formats import READERS, read
from ._stored import Stored
from ._velox import PRUNED

_XRAY_ABOVE_EV = 5000.0


@dataclass(frozen=True)
class Content:
    """One array in a file.

    Parameters
    ----------
    role : {"adf", "eds", "low_loss", "core_loss", ""}
        What it is by its axes: images are ADF; X-ray energies EDS; an energy-loss axis that holds 0 eV low loss; one
        that overlaps 400 to 1000 eV core loss. Empty for anything else.
    shape : tuple of int
        As the file holds it.
    title : str
    what : str
        In words, for a table.
    """

    role: str
    shape: tuple[int, ...]
    title: str
    what: str


@checked
def describe(path: str | Path) -> list[Content]:
    """Return what every array in a file is, by its axes and not by its name.

    Parameters
    ----------
    path : path
        A file of a format that `load_tilt_series` or `load_spectra` reads.

    Returns
    -------
    list of Content
        Empty for a file of another format.

    Raises
    ------
    ValueError
        If the file is damaged.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from tritomo_helpers import containers, io
    >>> path = Path(tempfile.mkdtemp()) / "any-name.hspy"
    >>> io.save(containers.SpectrumTiltSeries(np.ones((1, 2, 2, 50)), [0], 600 + np.arange(50.0), 4.63), path)
    >>> describe(path)[0].role
    'core_loss'
    """
    path = Path(path)
    if path.suffix.lower() not in READERS:
        return []
    return [_content(stored) for stored in read(path)]


def _content(stored: Stored) -> Content:
    shape = tuple(int(n) for n in stored.data.shape)
    if stored.signal_type == PRUNED:
        return Content("", shape, stored.title, "X-ray counts that only Velox can unpack (pruned file)")
    index = stored.index("energy")
    if index is None:
        images = stored.is_image and min(shape[-2:]) > 1
        return Content("adf" if images else "", shape, stored.title, "images" if images else "no image")
    energy = stored.axes[index].values_ev
    if not np.isfinite(energy).all():
        return Content("", shape, stored.title, f"spectra on an axis in {stored.axes[index].units or 'no units'}")
    low, high = float(energy.min()), float(energy.max())
    what = f"spectra {low:g} to {high:g} eV"
    if stored.signal_type.startswith("EDS") or high > _XRAY_ABOVE_EV:
        return Content("eds", shape, stored.title, f"X-ray {what}")
    if low <= 0 <= high:
        return Content("low_loss", shape, stored.title, f"energy-loss {what}")
    return Content("core_loss" if low < 1000 and high > 400 else "", shape, stored.title, f"energy-loss {what}")
