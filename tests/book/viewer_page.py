"""What a page with viewers shows: index, value and text at the crosshair."""

import base64
import re

import numpy as np
import pytest

PIXEL_NM = 4.63
SHAPE = (20, 24, 32)


def field(shape=SHAPE, seed=0):
    """Smooth and noisy, every axis different, a corner not measured."""
    z, y, x = np.indices(shape)
    rng = np.random.default_rng(seed)
    values = 20 + x + 0.37 * y - 0.11 * z + rng.normal(0, 1, shape)
    values[:4, :5, :6] = np.nan
    return values


def readout(page, nth=0):
    """Index, number and text at the crosshair."""
    node = page.locator(".readout").nth(nth)
    index = tuple(int(i) for i in node.get_attribute("data-index").split(","))
    values = [float(v) for v in node.get_attribute("data-value").split(",")]
    return index, values, node.locator(".value").inner_text()


def numbers(text):
    """Numbers in a text, as printed."""
    return [n.replace("−", "-") for n in re.findall(r"(?<![\d⁻×])[−-]?\d+(?:\.\d+)?", text)]


def assert_shows(page, *arrays, nth=0):
    """The number on the page is the array's, rounded to its own last digit."""
    index, values, text = readout(page, nth)
    words = text.split(" · ")
    for array, value, word in zip(arrays, values, words, strict=True):
        if np.isnan(array[index]):
            assert np.isnan(value)
            assert word.endswith("not measured")
            continue
        printed = numbers(word)[-1]
        half = 0.5 * 10.0 ** -len(printed.partition(".")[2])
        assert abs(float(printed) - array[index]) <= half * (1 + 1e-9)
        assert value == pytest.approx(float(printed), abs=1e-9)
    return index


def center_of(page, view, index, across, down, shape):
    """Where on the page a voxel lies within a view."""
    box = view.bounding_box()
    x = box["x"] + box["width"] * (index[across] + 0.5) / shape[across]
    y = box["y"] + box["height"] * (index[down] + 0.5) / shape[down]
    return x, y


PIXELS = """c => {
  const bytes = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
  let text = "";
  for (let i = 0; i < bytes.length; i += 32768) text += String.fromCharCode(...bytes.subarray(i, i + 32768));
  return [c.width, c.height, btoa(text)];
}"""


def pixels_of(canvas):
    width, height, text = canvas.evaluate(PIXELS)
    return width, height, np.frombuffer(base64.b64decode(text), np.uint8)
