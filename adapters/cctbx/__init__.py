"""Engines that run cctbx in a worker process of its own."""
