"""The studio: a window in the browser in which apertures are drawn, judged and saved."""
