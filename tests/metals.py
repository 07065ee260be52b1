"""What a specimen holds per metal atom: charge, lithium, lattices."""

METALS = ("Mn", "Co", "Ni")


def per_metal(phantom):
    """Anion charge, lithium, and the valences of the metals, per metal atom and in the mask."""
    f, inside = phantom.atomic_fractions, phantom.mask
    metals = sum(f[el] for el in METALS)
    anions = (2 * f["O"] + f.get("F", 0)) / metals
    mn = sum(k * v for k, v in phantom.mn_valence.items())
    co = sum(k * v for k, v in phantom.co_valence.items())
    valence = (f["Mn"] * mn + f["Co"] * co + f["Ni"] * phantom.ni_valence) / metals
    return anions[inside], (phantom.lithium / metals)[inside], valence[inside]


def shares_of_metals(phantom):
    """Lattices as shares of the metals: three atoms to a metal in layered and spinel, two in rock salt."""
    p = {name: values[phantom.mask] for name, values in phantom.phases.items()}
    metals = p["layered"] / 3 + p["spinel"] / 3 + p["rock_salt"] / 2 + p.get("fluoride", 0) / 4
    return {name: p[name] / atoms / metals for name, atoms in (("layered", 3), ("spinel", 3), ("rock_salt", 2))}
