"""What a chapter needs beside science: claims with a range, exercises and questions that answer, data or a clear stop.

Everything here writes to the notebook that calls it. When the book is built (``TRITOMO_BOOK_BUILD=1``) a record for the
build's own checks goes along with the output.
"""

from .claims import claim
from .data import ChapterStopped, data, provenance
from .exercises import Verdict, check, judge
from .lists import show_list
from .quizzes import quiz
from .tables import show_table
from .verdicts import Weighed, null_interval, show_verdicts, weigh

__all__ = [
    "ChapterStopped",
    "Verdict",
    "Weighed",
    "check",
    "claim",
    "data",
    "judge",
    "null_interval",
    "provenance",
    "quiz",
    "show_list",
    "show_table",
    "show_verdicts",
    "weigh",
]
