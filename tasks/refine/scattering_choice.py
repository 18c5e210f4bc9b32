"""The table of scattering factors of a refinement: chosen by the settings, refused where it does not fit."""

from tasks.crystal.scattering import Radiation
from tasks.crystal.scattering_tables import DEFAULT, check_table, ion_symbol
from tasks.refine.draft import Draft
from tasks.refine.settings import RefineSettings


def with_scattering(draft: Draft, radiation: Radiation, settings: RefineSettings) -> Draft:
    """Return the draft with the table of the settings, that of the radiation where they name none.

    Raises
    ------
    InputError
        If the table is one of the other radiation or lacks an element, or an ion is none of the structure's.
    """
    table = settings.scattering or DEFAULT[radiation]
    ions = tuple(ion_symbol(ion) for ion in settings.ions.replace(",", " ").split())
    check_table(table, radiation, draft.elements, ions)
    return draft.model_copy(update={"scattering": table, "ions": ions})
