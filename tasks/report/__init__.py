"""What a run came to: tables, pictures, results.json and the page to read."""
