r"""Elastic scattering, once and many times over: what reaches an annular detector, and what misses an aperture.

The share of the beam that leaves a foil at less than an angle R, with :math:`n_i` atoms per area of element i, is

.. math:: P(R) = \rho_R \int_0^\infty J_1(k \rho_R)\, \frac{2 J_1(k \alpha)}{k \alpha}\,
          e^{-\sum_i n_i [\sigma_i - W_i(k)]}\, dk, \qquad
          W_i(k) = \int \frac{d\sigma_i}{d\Omega} J_0(k \rho)\, d\Omega, \qquad \rho = 2 \sin\frac{\theta}{2}

with a cone of incidence of semi-angle α and the Mott-Bethe cross-section of every element. This is exact for any number
of collisions as long as angles add up as vectors in a plane; the chord ρ in place of the angle keeps areas on the
sphere, so single scattering is exact at any angle. Electrons pass atoms at random: no channeling.
"""

from .cross_sections import NCM111_ATOMS_PER_NM3, cross_section_nm2_per_sr, ring_cross_section_nm2
from .plural import lateral_transfer, share_inside, share_on_ring
from .thickness import beam_counts, thickness_from_adf

__all__ = [
    "NCM111_ATOMS_PER_NM3",
    "beam_counts",
    "cross_section_nm2_per_sr",
    "lateral_transfer",
    "ring_cross_section_nm2",
    "share_inside",
    "share_on_ring",
    "thickness_from_adf",
]
