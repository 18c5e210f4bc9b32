"""Catalogues of data that people search: SciCat."""
