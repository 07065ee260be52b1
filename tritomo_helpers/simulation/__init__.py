"""The microscope of the digital twin: phantom -> tilt series with known truth.

Rays go through the analytic specimen, never through the projector that reconstruction inverts.
"""

from .acquisition import Acquired, acquire
from .damage import detection_power, white_line_change
from .mismatches import MISMATCHES
from .precision import valence_bound
from .settings import Acquisition
from .spectrometer_settings import Eds, Eels

__all__ = [
    "MISMATCHES",
    "Acquired",
    "Acquisition",
    "Eds",
    "Eels",
    "acquire",
    "detection_power",
    "valence_bound",
    "white_line_change",
]
