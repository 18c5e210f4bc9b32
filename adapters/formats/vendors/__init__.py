"""Frames in the files of cameras and of the programs that drive them."""
