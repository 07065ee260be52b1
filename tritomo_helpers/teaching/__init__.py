"""What a chapter needs beside science: claims with an expected range, exercises that answer, data or a clear stop.

Everything here writes to the notebook that calls it. When the book is built (``TRITOMO_BOOK_BUILD=1``) a record for the
build's own checks goes along with the output.
"""

from .claims import claim
from .data import ChapterStopped, data, provenance
from .exercises import Verdict, check, judge

__all__ = ["ChapterStopped", "Verdict", "check", "claim", "data", "judge", "provenance"]
