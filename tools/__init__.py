"""Tools of the project, run from its top folder."""
