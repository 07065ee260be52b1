"""Composition methods on real maps: the contrast of core and shell, by hand and beside the authors' program."""

import numpy as np
import pytest

from tritomo_helpers import products
from tritomo_helpers.products.real_maps import cobalt_share


def test_cobalt_share_of_a_disk_in_a_ring():
    y, x = np.indices((60, 60)) - 30
    radius = np.hypot(x, y)
    dark_field = np.where(radius < 20, 10.0, 0.0)
    maps = {"Co": np.where(radius < 10, 4.0, 1.0), "Mn": np.where(radius < 10, 1.0, 4.0)}
    shares = cobalt_share(maps, dark_field, depths_px=(2, 7, 12, 18))
    assert shares[0] == pytest.approx(0.2)
    assert shares[-1] == pytest.approx(0.8)
    assert shares[0] < shares[1] < shares[2]


def test_the_crystals_have_manganese_outside_and_cobalt_inside():
    table = products.get("study/nanocrystals")
    counts, fused = table["cobalt_share"]
    assert counts[0] < 0.2 < 0.5 < counts[-1]
    assert fused[0] < 0.25 < 0.5 < fused[-1]
    # What fusion smooths it takes from the contrast: never more than the counts hold.
    assert fused[-1] - fused[0] < counts[-1] - counts[0]


@pytest.mark.acceptance
def test_the_published_cost_agrees_with_the_program_of_its_authors():
    pytest.importorskip("multimodal_fusion", reason="the peer is no dependency: see benchmarks/fusion.py")
    from benchmarks.fusion import by_peer, by_us

    rng = np.random.default_rng(1)
    y, x = np.indices((64, 64)) - 32
    radius = np.hypot(x, y)
    cobalt, manganese = 2.0 * (radius < 14), 2.0 * ((radius >= 14) & (radius < 24))
    counts = {"Co": rng.poisson(cobalt), "Mn": rng.poisson(manganese), "O": rng.poisson(cobalt + manganese)}
    counts = {el: image.astype(np.float32) for el, image in counts.items()}
    dark_field = ((cobalt + manganese) * 50 + rng.normal(0, 2, cobalt.shape)).astype(np.float32)
    dark_field -= dark_field.min()
    peer, ours = by_peer(dark_field, counts), by_us(dark_field, counts, variation_weight=0.01)
    for el in ("Co", "Mn"):
        assert np.corrcoef(ours[el].ravel(), peer[el].ravel())[0, 1] > 0.85
