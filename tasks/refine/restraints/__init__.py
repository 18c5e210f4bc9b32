"""Restraints from chemistry: what kinds of atoms are sure, which distances, planes and displacements follow."""
