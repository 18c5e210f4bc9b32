"""A first structure to a refined one."""
