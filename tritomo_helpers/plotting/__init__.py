"""Figures in one visual language: axes in, axes out.

A reader learns a color once: each element and each valence state has its own, ADF is gray, the truth is a black dashed
line, the null a gray band, a value quoted from the paper a hollow marker and one of ours a filled one. Images carry a
scale bar and a color bar with its unit; spectra are in eV with their edges marked. :func:`use_style` is called once per
notebook and no chapter sets a style of its own.
"""

from .backgrounds import describe_background_step, model_slope, show_background_step
from .curves import (
    mark_windows,
    show_curves,
    show_paper_values,
    show_profiles,
    show_spectra,
    show_spectrum,
)
from .geometry import show_geometry
from .images import show_difference, show_image, show_images, show_sinograms
from .marks import add_outlines, add_scale_bar, mark_gap
from .matrices import show_matrix
from .stages import (
    StageCurves,
    StageSeries,
    show_distances,
    show_particle_profiles,
    show_particles,
    show_stage_curves,
    show_stage_series,
)
from .style import (
    ELEMENT_COLORS,
    NULL,
    OURS,
    PAPER,
    TRUTH,
    VALENCE_COLORS,
    color_map_of,
    color_of,
    element_of,
    use_style,
)

__all__ = [
    "ELEMENT_COLORS",
    "NULL",
    "OURS",
    "PAPER",
    "TRUTH",
    "VALENCE_COLORS",
    "StageCurves",
    "StageSeries",
    "add_outlines",
    "add_scale_bar",
    "color_map_of",
    "color_of",
    "describe_background_step",
    "element_of",
    "mark_gap",
    "mark_windows",
    "model_slope",
    "show_background_step",
    "show_curves",
    "show_difference",
    "show_distances",
    "show_geometry",
    "show_image",
    "show_images",
    "show_matrix",
    "show_paper_values",
    "show_particle_profiles",
    "show_particles",
    "show_profiles",
    "show_sinograms",
    "show_spectra",
    "show_spectrum",
    "show_stage_curves",
    "show_stage_series",
    "use_style",
]
