"""The published fused cost beside the program of its authors, in two dimensions.

``python -m benchmarks.fusion FILE`` with the file of the dataset Co3O4_Mn3O4_fusion_2D. The peer is no dependency of
this project: ``pip install --no-deps multimodal-fusion==0.6.0`` into an environment that you throw away.
"""

import sys
import time

import numpy as np

from tritomo_helpers import io
from tritomo_helpers.containers import TiltSeries
from tritomo_helpers.fusion import published_fusion
from tritomo_helpers.products.real_maps import cobalt_share

ELEMENTS = ("Co", "Mn", "O")
DEPTHS_PX = (0, 4, 8, 12, 16, 24, 32, 48)


def by_peer(dark_field: np.ndarray, counts: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Fuse with multimodal-fusion and the settings of its authors' guide."""
    import multimodal_fusion

    peer = multimodal_fusion.DataFusion(list(ELEMENTS))
    peer.load_chemical_maps({el: image.copy() for el, image in counts.items()})
    peer.load_haadf(dark_field.copy())
    peer.run(nIter=30, lambdaEDS=0.005, lambdaTV=0.1, plot_images=False, plot_convergence=False)
    return dict(peer.get_results())


def by_us(dark_field: np.ndarray, counts: dict[str, np.ndarray], *, variation_weight: float) -> dict[str, np.ndarray]:
    """Fuse with the published cost of this package: one tilt of one slice."""
    volumes = published_fusion(
        TiltSeries(dark_field[None], np.zeros(1), 1.0),
        {el: TiltSeries(image[None], np.zeros(1), 1.0) for el, image in counts.items()},
        support=np.ones((1, *dark_field.shape), dtype=bool),
        variation_weight=variation_weight,
        n_poisson=0,
        n_rounds=30,
    )
    return {el: volume[0] for el, volume in volumes.items()}


def main(path: str) -> None:
    """Print time, likeness of the maps, and the share of cobalt against depth."""
    arrays = io.load_arrays(path)
    dark_field = np.asarray(arrays["HAADF"], dtype=np.float32)
    dark_field = dark_field - dark_field.min()
    counts = {el: np.asarray(arrays[el], dtype=np.float32) for el in ELEMENTS}
    results, seconds = {"counts": counts}, {"counts": 0.0}
    calls = {f"ours, TV {w:g}": lambda w=w: by_us(dark_field, counts, variation_weight=w) for w in (0.003, 0.01, 0.03)}
    for name, call in ({"peer": lambda: by_peer(dark_field, counts)} | calls).items():
        start = time.process_time()
        results[name] = call()
        seconds[name] = time.process_time() - start
    print("Co / (Co + Mn), %, between depths of", DEPTHS_PX, "pixels; correlation with the peer's Co, Mn, O; CPU s")
    for name, maps in results.items():
        shares = 100 * cobalt_share(maps, dark_field, depths_px=DEPTHS_PX)
        alike = [np.corrcoef(maps[el].ravel(), results["peer"][el].ravel())[0, 1] for el in ELEMENTS]
        print(f"{name:<14}" + "".join(f"{s:6.1f}" for s in shares), np.round(alike, 2), f"{seconds[name]:.1f}")


if __name__ == "__main__":
    main(sys.argv[1])
