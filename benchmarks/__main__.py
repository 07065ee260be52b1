"""`make bench`: print the comparison; CASE=file.npz takes a case of your own, LARGE=1 adds the largest sizes."""

import os

from . import cases, tomography


def main() -> None:
    """Print every table."""
    path = os.environ.get("CASE", "")
    case = cases.load(path) if path else cases.generate(seed=1)
    print(f"Case: {path or 'generated from seed 1'}, {case.truth.shape} voxels, {case.series['clean'].n_tilts} tilts\n")
    tomography.compare(case)
    tomography.genfire_side_by_side(case)
    tomography.cost_law(large=bool(os.environ.get("LARGE")))


if __name__ == "__main__":
    main()
