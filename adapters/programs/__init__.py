"""External programs, all started by the runner."""
