"""The audit of musl wheels: which musl a file really needs, and what it mixes. Stands alone."""
