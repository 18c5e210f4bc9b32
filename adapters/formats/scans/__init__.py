"""Readers of scans: whole frames of counters and cameras, and lists of events, become electrons."""
