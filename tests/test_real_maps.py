"""Composition methods on real maps: the contrast of core and shell."""

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


def test_left_out_tilts_of_the_dust_rank_methods_above_the_noise():
    table = products.get("study/dust")
    miss = dict(zip(table["methods"].tolist(), table["held_out"].T, strict=True))
    assert table["extended"] == "both"
    assert table["elements"].tolist() == ["O", "Mg", "Si", "Fe"]
    for method, of_elements in miss.items():
        assert (of_elements > table["noise"]).all(), method
    # Smoothness helps where counts are few; a map of one composition explains next to nothing.
    assert (miss["tv"] <= np.minimum(miss["sirt"], miss["wbp"])).all()
    assert (miss["constant"] > 0.9).all()
    assert (miss["tv"][:3] < 0.45).all()
