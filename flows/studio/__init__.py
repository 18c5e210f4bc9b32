"""The aperture studio: a browser window over the functions of the stages; thin, no numerics."""
