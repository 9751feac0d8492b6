"""An extension in C: threads, time, stat, environment."""
