"""Trials and candidates until one is solved or time is up; models mended and judged between groups."""
