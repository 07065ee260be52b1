"""Files to containers and back: the one place that reads microscope formats.

Read: dm3, dm4, bcf, emd (Velox and Berkeley), hspy, mrc (ali, rec, st), tif, vti, h5, csv. Write: hspy, mrc, vti, h5.
Angles, energies and pixel sizes come out in degrees, eV and nm, whatever the file counts in; what a file states is used
or contradicted aloud. Nothing that a file holds is ever unpickled.
"""

from ._alignment import load_alignment
from ._arrays import load_arrays, load_table
from ._describe import Content, describe
from ._hyperspy import to_hyperspy
from ._load import from_hyperspy, load_image, load_spectra, load_tilt_series, load_tomogram
from ._save import save

__all__ = [
    "Content",
    "describe",
    "from_hyperspy",
    "load_alignment",
    "load_arrays",
    "load_image",
    "load_spectra",
    "load_table",
    "load_tilt_series",
    "load_tomogram",
    "save",
    "to_hyperspy",
]
