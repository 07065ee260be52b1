"""Draw the picture of the README from the products of the front page: ``.venv/bin/python tools/make_answer.py``."""

import hashlib
import io
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "book" / "_static" / "answer.png"
PARTICLES = {"pristine": "twin/pristine-1/valence", "200 cycles": "twin/cycled-200-1/valence"}
SHOWN = ("Mn4", "Mn4_shells", "depth_nm")
MADE_OF = "Products"


def made_of() -> str:
    """Return a digest of the arrays that the picture shows."""
    from tritomo_helpers import products

    digest = hashlib.sha256()
    for name in PARTICLES.values():
        arrays = products.get(name)
        for array in SHOWN:
            digest.update(np.ascontiguousarray(arrays[array]).tobytes())
    return digest.hexdigest()[:16]


def draw(path: Path = PICTURE) -> None:
    """Draw both particles cut open, their depth profiles, and oxygen against cycles; note what they are made of."""
    import matplotlib.pyplot as plt
    from PIL import Image

    from tritomo_helpers import phantoms, plotting, products, viewer
    from tritomo_helpers.containers import Tomogram

    plotting.use_style()
    results = {stage: products.get(name) for stage, name in PARTICLES.items()}
    volumes = {
        stage: Tomogram(100 * r["Mn4"].astype(float), float(r["voxel_size_nm"]), "Mn4+ (% of Mn)")
        for stage, r in results.items()
    }
    film = viewer.show_turntable(
        {"Mn4+": volumes}, limits={"Mn4+": (40, 100)}, cut=("+x", "-z"), n_views=12, alt="Two particles."
    )
    with Image.open(io.BytesIO(film.still)) as image:
        particles = np.asarray(image.convert("RGB"))
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.4), width_ratios=(1.6, 1, 1))
    axes[0].imshow(particles)
    axes[0].set_axis_off()
    axes[0].set_title("Mn⁴⁺, 40 % (blue) to 100 % (yellow): fresh, 200 cycles (twin)")
    nm = results["pristine"]["depth_nm"][:12]
    plotting.show_profiles(
        {stage: 100 * r["Mn4_shells"][0][:12] for stage, r in results.items()},
        nm,
        errors={stage: 196 * r["Mn4_shells"][1][:12] for stage, r in results.items()},
        x_label="depth (nm)",
        y_label="Mn⁴⁺ (% of Mn)",
        ax=axes[1],
        title="against depth (twin)",
    )
    oxygen = [stage.o_at_percent for stage in phantoms.STAGES.values()]
    axes[2].plot([0, 50, 100, 200], oxygen, marker="o", color=plotting.color_of("O"), label="given to the twin")
    axes[2].errorbar([0, 50, 100, 200], [66.5] * 3 + [61], [0.5] * 3 + [0], label="quoted", **plotting.PAPER)
    axes[2].set(xlabel="cycles", ylabel="oxygen (at%)", title="oxygen against cycles")
    axes[2].legend()
    figure.savefig(path, dpi=110, metadata={MADE_OF: made_of(), "Software": None})
    plt.close(figure)


if __name__ == "__main__":
    draw()
    sys.stdout.write(f"{PICTURE.relative_to(ROOT)}: {PICTURE.stat().st_size / 1e3:.0f} kB\n")
