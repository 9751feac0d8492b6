"""A small extension."""
