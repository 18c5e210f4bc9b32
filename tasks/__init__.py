"""The science, one package per stage in the order that data passes. Imports neither flows nor adapters."""
