"""The science, one package per stage in the order that data passes. Imports neither flows nor adapters."""

from tasks.model.one_parser import parse_one_at_a_time

parse_one_at_a_time()
