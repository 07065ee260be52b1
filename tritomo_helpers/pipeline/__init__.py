"""From files to figures: one call for a particle, one for several.

`process` takes a dataset's name or a folder from the microscope to a folder of results; `study` does so for several
and makes one table of them; `understand` says beforehand what was found in the files and what is missing. Each stage is
kept by what it depends on (`tritomo_helpers.store`): a run that was killed goes on where it stopped.

What is done today: ADF alignment and tomography, the particle, its shells and their density; the mean composition from
EDS, and with the paper's method that of every voxel. EELS spectra are read, checked and listed, and the report says
that they were not used.
"""

from .inputs import Channel, Understood, understand
from .process import DONE, WARNINGS, process
from .study import study

__all__ = ["DONE", "WARNINGS", "Channel", "Understood", "process", "study", "understand"]
