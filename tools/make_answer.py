"""Draw the picture of the README from the products of the front page: ``.venv/bin/python tools/make_answer.py``."""

import hashlib
import io
import sys
from pathlib import Path
from typing import Any

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
    digest.update(np.ascontiguousarray(_oxygen()["values"]).tobytes())
    return digest.hexdigest()[:16]


def _oxygen() -> dict[str, Any]:
    """Return oxygen of the twelve particles as measured, as given to the twin, and as the paper quotes it."""
    from tritomo_helpers.products import twelve

    study = twelve.load()
    return {
        "values": study.values("O_at_percent"),
        "cycles": study.table["cycles"],
        "intervals": study.intervals("O_at_percent"),
        "truth": study.values("O_at_percent", method="truth"),
        "quoted": (study.cycles, twelve.quoted("O_at_percent")),
    }


def draw(path: Path = PICTURE) -> None:
    """Draw both particles cut open, their depth profiles, and oxygen against cycles; note what they are made of."""
    import matplotlib.pyplot as plt
    from PIL import Image

    from tritomo_helpers import plotting, products, viewer
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
    axes[0].set_title("Mn⁴⁺ of a fresh particle and after 200 cycles (twin)\n40 % blue, 100 % yellow")
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
    oxygen = _oxygen()
    plotting.show_particles(oxygen.pop("values"), oxygen.pop("cycles"), **oxygen, name="O (at%)", ax=axes[2])
    axes[2].set_title("oxygen of twelve particles (twin)")
    figure.savefig(path, dpi=110, metadata={MADE_OF: made_of(), "Software": None})
    plt.close(figure)


if __name__ == "__main__":
    draw()
    sys.stdout.write(f"{PICTURE.relative_to(ROOT)}: {PICTURE.stat().st_size / 1e3:.0f} kB\n")
