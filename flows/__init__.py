"""What happens, in which order: the pipeline, its settings, the Prefect flows and the command line."""
