"""The aperture studio: a window in the browser, thin over the functions of tasks."""
