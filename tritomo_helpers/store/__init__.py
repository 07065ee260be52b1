"""Results on disk: what they depend on, how they appear whole or not at all, and where they come from.

- `fingerprint` says which code and data files of this package a function depends on. It is the one rule of what is
  stale: for the digital twin, for products, for the chapters of the book and for a pipeline.
- `files` writes a file or a folder aside and puts it in place in one step, keeps others out meanwhile, and clears away
  what killed runs left.
- `results` turns dataclasses into arrays and back, and keeps them with their provenance in one checked file.
"""

from . import files, fingerprint, results

__all__ = ["files", "fingerprint", "results"]
