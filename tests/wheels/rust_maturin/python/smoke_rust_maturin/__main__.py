"""python -m smoke_rust_maturin: one line when all is right."""

import sys

from smoke_rust_maturin import _rust

counter = _rust.Counter()
assert counter.add(2) + counter.add(3) == 7
try:
    counter.add(2**64 - 1)
except ValueError as error:
    assert str(error) == "too much"
else:
    raise AssertionError("an overflow passed")
try:
    _rust.panics()
except BaseException as error:
    assert type(error).__name__ == "PanicException", error
else:
    raise AssertionError("a panic passed")
print(f"smoke_rust_maturin ok on Python {sys.version.split()[0]}")
