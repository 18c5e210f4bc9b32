"""Drafts of manifests: what logs, input files and headers state of a series, and what they leave open."""
