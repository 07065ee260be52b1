"""Comparisons with other packages, run by hand; nothing here is asserted as a time."""
