"""The outside world: file formats, external programs, embedded engines, the operating system."""
