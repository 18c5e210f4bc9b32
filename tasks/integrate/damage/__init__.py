"""What the beam did to the crystal while its series was measured: its fall-off, and where to stop.

What can be told and what cannot. The scale of every frame is free, for the volume that a tilt illuminates is not known
to a percent: the loss that all reflections of a frame share is in it, and is told from that volume only where tilts
were measured more than once, or the crystal's share is known. The fall-off with resolution is told by reflections, and
their equivalents, that were measured early and late. If the order follows the tilt, any other fall-off with the tilt
looks the same: with rising tilts one that differs between the ends of the series, with 0, +1, -1, ... one that grows
with the thickness along the beam. Repeated tilts tell them apart.

A crystal without symmetry that is measured in one sweep is known by neighbouring frames alone, in which a loss that all
reflections share and a fall-off look nearly alike: where scales fade, or a fall-off is asked for, their prior does not
hold them along the exposure (`fading`), the esd of the rate says how little is known, and a fall-off of less than two
esds is not corrected. Where the order is not known nothing is: a trend with the tilt that halves of the tilts and of
the reflections agree on is named (`tilt_trend`).
"""
