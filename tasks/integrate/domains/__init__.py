"""Non-merohedral twins: a second lattice of the same kind in the same frames, measured together with the first."""
