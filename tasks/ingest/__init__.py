"""From a source folder to events or frames on disk, checked and complete."""
