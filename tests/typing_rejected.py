"""Calls that the type checker must reject. Nothing here runs: `make lint` fails where an ignored error is no error.

`warn_unused_ignores` turns every call that is accepted, against what its comment says, into an error.
"""

import numpy as np

from tritomo_helpers import alignment, tilt_series, tomography
from tritomo_helpers.containers import TiltSeries, Tomogram
from tritomo_helpers.tomography import Reconstruction


def options_of_reconstruct(ts: TiltSeries) -> None:
    tomography.reconstruct(ts, positivity="no")  # type: ignore[call-overload]
    tomography.reconstruct(ts, n_z="deep")  # type: ignore[call-overload]
    tomography.reconstruct(ts, n_z=2.5)  # type: ignore[call-overload]
    tomography.reconstruct(ts, method="fbp")  # type: ignore[call-overload]
    tomography.reconstruct(ts, method="genfire-fast")  # type: ignore[call-overload]
    tomography.reconstruct(ts, method="sirt", relaxtion=3)  # type: ignore[call-overload]
    tomography.reconstruct(ts, method="sirt", relaxation="much")  # type: ignore[call-overload]
    tomography.reconstruct(ts, method="sirt", n_iterations=3.0)  # type: ignore[call-overload]
    tomography.reconstruct(ts, method="tv", weight="heavy")  # type: ignore[call-overload]
    tomography.reconstruct(ts, method="tv", noise="poison")  # type: ignore[call-overload]
    tomography.reconstruct(ts, method="tv", supersampling=1.5)  # type: ignore[call-overload]
    tomography.reconstruct(ts, method="tv", hold_out="pixels")  # type: ignore[call-overload]
    tomography.reconstruct(ts, method="tv", n_folds=None)  # type: ignore[call-overload]
    tomography.reconstruct(ts, method="tv", rng=7)  # type: ignore[call-overload]
    tomography.reconstruct(ts, oversampling="3")  # type: ignore[call-overload]
    tomography.reconstruct(ts, extension="on")  # type: ignore[call-overload]
    tomography.reconstruct(ts, progress="bar")  # type: ignore[call-overload]
    tomography.reconstruct(ts, "sirt")  # type: ignore[call-overload]
    tomography.reconstruct([ts, ts])  # type: ignore[call-overload]


def settings_of_a_method() -> None:
    tomography.Sirt(weight=0.1)  # type: ignore[call-arg]
    tomography.Sirt(relaxtion=1.0)  # type: ignore[call-arg]
    tomography.Genfire(n_iterations=None)  # type: ignore[arg-type]
    tomography.TotalVariation(noise="white")  # type: ignore[arg-type]
    tomography.WeightedBackProjection(cutoff="half")  # type: ignore[arg-type]
    tomography.Sirt().n_iterations = 3  # type: ignore[misc]
    tomography.Method()  # type: ignore[abstract]


def scores(ts: TiltSeries) -> None:
    tomography.held_out_error(ts, method="sirt", n_folds="two")  # type: ignore[arg-type]
    tomography.held_out_error(ts, method="sirt", itertions=3)  # type: ignore[call-arg]
    tomography.shell_correlation(ts, method="tv", weight="1")  # type: ignore[arg-type]
    tomography.support_from_masks(ts, margin_px=1.5)  # type: ignore[arg-type]


def results_and_mappings(ts: TiltSeries, volume: Tomogram, found: alignment.Alignment) -> None:
    one: Reconstruction = tomography.reconstruct({"Mn": ts})  # type: ignore[assignment]
    many: dict[str, Reconstruction] = tomography.reconstruct(ts)  # type: ignore[assignment]
    print(one.choices["n_iterations"].valu)  # type: ignore[attr-defined]
    many["Mn"].choices["weight"].value = 3  # type: ignore[misc]
    image: TiltSeries = tomography.project({"Mn": volume}, [0.0])  # type: ignore[assignment]
    image = alignment.apply({"Mn": ts}, found)  # type: ignore[assignment]
    image = tilt_series.apply_shifts({"Mn": image}, np.zeros((1, 2)))  # type: ignore[assignment]
