"""Several crystals of one series: whether they are of one form, how they relate, and merged sets."""
