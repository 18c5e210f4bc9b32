"""A folder of scans for LiberTEM: one raw_csr data set each."""

import csv
from pathlib import Path

from adapters.formats.raw_csr_writer import write_raw_csr
from tasks.ingest import TiltSeries, open_events


def export_raw_csr(series: TiltSeries, folder: Path) -> None:
    """Write ``scan-00000.toml`` and so on, in the order of the tilts, and ``scans.csv`` that lists them."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, scan in enumerate(series.scans):
        sidecar = write_raw_csr(
            open_events(scan),
            folder,
            f"scan-{number:05d}",
            scan_shape=series.scan.shape,
            frame_shape=series.detector.shape_px,
        )
        rows.append((sidecar.name, f"{scan.tilt_deg:.12g}", scan.source, scan.counts))
    with (folder / "scans.csv").open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(("file", "tilt_deg", "source", "electrons"))
        table.writerows(rows)
    text = f'{series.sample}: in LiberTEM, ctx.load("raw_csr", path="{rows[0][0]}") for the first of {len(rows)} scans.'
    (folder / "README").write_text(
        f"{text}\nscans.csv gives the tilt of each; flyback is left out.\n", encoding="utf-8"
    )
