"""Text from outside in the Markdown that Prefect's pages show: the functions of `tasks.model`."""

from tasks.model import fenced, plain, visible

__all__ = ["fenced", "plain", "visible"]
