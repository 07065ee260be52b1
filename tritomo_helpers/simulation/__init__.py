"""The microscope of the digital twin: phantom -> tilt series with known truth.

Rays go through the analytic specimen, never through the projector that reconstruction inverts.
"""

from .acquisition import Acquired, acquire
from .settings import Acquisition
from .spectrometer_settings import Eds, Eels

__all__ = ["Acquired", "Acquisition", "Eds", "Eels", "acquire"]
