"""Build the book: ``python tools/build_book.py --help``."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    from tools.book.cli import main

    sys.exit(main())
