"""Everything to results.json and one HTML page."""
