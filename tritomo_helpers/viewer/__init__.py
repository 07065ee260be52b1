"""Figures a reader can turn and scroll: without a kernel, without a network, in a notebook or in the rendered book.

==================  ==================================================================
`show_volume`       a tomogram as three linked slices
`show_pair`         two tomograms, one crosshair
`show_tilt_series`  a tilt series with its sinogram
`show_surface`      surfaces of constant value, to be turned, painted and cut open
`show_turntable`    films of turning particles
`sweep`             a figure with sliders for its parameters
==================  ==================================================================

Each needs ``alt``, a sentence for readers who do not see it, and returns an object that a notebook displays and that
``save(path)`` writes as a page.
"""

from ._film import show_turntable
from ._page import Viewer
from ._slices import show_pair, show_tilt_series, show_volume
from ._surface import show_surface
from ._sweep import LiveSweep, sweep

__all__ = [
    "LiveSweep",
    "Viewer",
    "show_pair",
    "show_surface",
    "show_tilt_series",
    "show_turntable",
    "show_volume",
    "sweep",
]
