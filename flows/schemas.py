"""The JSON Schemas that `apertura schema` prints."""

import json

from flows.settings import Settings
from tasks.ingest import RotationSeriesManifest, TiltSeriesManifest
from tasks.model import SettingsError
from tasks.simulate import SimulationSettings

MANIFESTS: dict[str, type[TiltSeriesManifest | RotationSeriesManifest]] = {
    "tilt": TiltSeriesManifest,
    "rotation": RotationSeriesManifest,
}


def schema_text(*, simulation: bool, manifest: str | None) -> str:
    """Return the JSON Schema of the settings, of those of a simulation, or of a manifest.

    Raises
    ------
    SettingsError
        If two are asked for, or a manifest that there is not.
    """
    if manifest is None:
        return json.dumps((SimulationSettings if simulation else Settings).model_json_schema(), indent=1)
    if simulation:
        raise SettingsError("--simulation and --manifest: ask for one of them", "leave one out")
    if manifest not in MANIFESTS:
        raise SettingsError(f"--manifest {manifest!r}: must be tilt or rotation", "apertura schema --manifest rotation")
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **MANIFESTS[manifest].model_json_schema()}
    return json.dumps(schema, indent=1, ensure_ascii=False)
