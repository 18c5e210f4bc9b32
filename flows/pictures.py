"""Pictures of a run for Prefect's UI: a sheet in the run folder, its thumbnail in the artifact itself."""

import base64
import io
import math
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from prefect.artifacts import create_image_artifact, create_markdown_artifact

from flows.site import Site
from tasks.apertures import ApertureSet
from tasks.report import colour_of, tilt_pictures
from tasks.stage import tell

SHEET = "pictures/apertures.png"
TILTS = 6
"""Of a series on one sheet, evenly spread. Chosen, not measured: two rows fit a window of 1100 px without scrolling."""
COLUMNS, TILE_PX, MARGIN_PX = 3, 240, 24
"""Layout of the sheet. Chosen, not measured: three tiles abreast are 720 px, which an artifact's page shows whole."""
THUMBNAIL_PX = 480
"""At most; as PNG that stays below the 100 kB that an artifact in the server's database should not exceed (tested)."""
NAME_PX, SWATCH_PX = 140, 16
"""Width of a name of 12 letters, and of the square of colour before it, in the legend."""
PAPER, INK = "white", "black"


def show_apertures(apertures: ApertureSet, folder: Path, site: Site) -> Path:
    """Draw the apertures into the run folder and show them on the run's page; return the picture."""
    sheet = folder / SHEET
    sheet.parent.mkdir(exist_ok=True)
    partial = sheet.with_name(f".{sheet.name}.partial")
    contact_sheet(apertures).save(partial, format="PNG", optimize=True)
    partial.replace(sheet)
    url = site.url_of(sheet)
    text = f"![apertures]({thumbnail(sheet)})\n\n{len(apertures.crystals)} crystals; [the whole sheet]({url})"
    if (studio := site.studio_of(folder)) is not None:
        text += f"; [open them in the studio]({studio})"
    tell(lambda: create_markdown_artifact(text, key="apertures", description="where the crystals lie, at some tilts"))
    if url.startswith("http"):
        tell(lambda: create_image_artifact(url, key="contact-sheet", description="where the crystals lie"))
    return sheet


def contact_sheet(apertures: ApertureSet) -> Image.Image:
    """Return real space at up to `TILTS` tilts, apertures outlined, tilts above, the colours of the crystals below."""
    pictures = tilt_pictures(apertures)
    last = len(pictures) - 1
    chosen = [pictures[last * number // (TILTS - 1)] for number in range(TILTS)] if last >= TILTS else pictures
    rows = math.ceil(len(chosen) / COLUMNS)
    width = min(len(chosen), COLUMNS)
    names = [crystal.id for crystal in apertures.crystals]
    bottom = rows * (TILE_PX + MARGIN_PX)
    names_in_row = max(1, width * TILE_PX // NAME_PX)
    sheet = Image.new("RGB", (width * TILE_PX, bottom + math.ceil(len(names) / names_in_row) * MARGIN_PX), PAPER)
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(MARGIN_PX - 6)
    for number, picture in enumerate(chosen):
        left, top = number % COLUMNS * TILE_PX, number // COLUMNS * (TILE_PX + MARGIN_PX)
        with Image.open(io.BytesIO(base64.b64decode(picture.uri.partition(",")[2]))) as tile:
            tile.thumbnail((TILE_PX - 4, TILE_PX - 4))
            sheet.paste(tile.convert("RGB"), (left, top + MARGIN_PX))
        pen.text((left + 2, top + 2), f"{picture.tilt_deg:.1f}\u00b0", fill=INK, font=font)
    for number, name in enumerate(names):
        place = (number % names_in_row * NAME_PX + 2, bottom + number // names_in_row * MARGIN_PX + 2)
        pen.rectangle((*place, place[0] + SWATCH_PX, place[1] + SWATCH_PX), fill=colour_of(number))
        pen.text((place[0] + SWATCH_PX + 4, place[1]), name, fill=INK, font=font)
    return sheet


def thumbnail(picture: Path) -> str:
    """Return a picture as a small data URI: it is stored in the server's database."""
    with Image.open(picture) as image:
        image.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
        buffer = io.BytesIO()
        image.convert("RGB").quantize(128).save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
