"""From files to figures: one call for a particle, one for several.

`process` takes a dataset's name or a folder from the microscope to a folder of results; `study` does so for several
and makes one table of them; `understand` says beforehand what was found in the files and what is missing. Each stage is
kept by what it depends on (`tritomo_helpers.store`): a run that was killed goes on where it stopped.

With ADF alone it ends at density and shells; EDS adds composition; low loss and core loss add the valence of manganese
and cobalt. What the source does not allow is left out, and the report says what and why.
"""

from .inputs import Channel, Understood, understand
from .process import DONE, WARNINGS, process
from .study import study

__all__ = ["DONE", "WARNINGS", "Channel", "Understood", "process", "study", "understand"]
