"""The one script of report.html, and by what a server lets it run and no other."""

import base64
import hashlib
from pathlib import Path

SCRIPT = Path(__file__).parent / "page.js"


def script_text() -> str:
    """Return the text between the page's script tags."""
    return SCRIPT.read_text(encoding="utf-8")


def script_hash() -> str:
    """Return the SHA-256 of the script in base64, as the header Content-Security-Policy takes it (CSP 3, 2.3.1)."""
    return base64.b64encode(hashlib.sha256(script_text().encode()).digest()).decode()
