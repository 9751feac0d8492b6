"""python -m smoke_rust_setuptools: one line when all is right."""

import sys

from smoke_rust_setuptools import _rust

assert _rust.sum_in_threads(100) == 4950
assert _rust.panics() == 4
print(f"smoke_rust_setuptools ok on Python {sys.version.split()[0]}")
