"""The project's own test: runs against the installed wheel."""

import math
import sys

from smoke_cibw import _native

for a, b in [(12, 18), (17, 5), (0, 7), (-12, 18), (2**40, 2**33)]:
    assert _native.gcd(a, b) == math.gcd(a, b), (a, b)
assert "site-packages" in _native.__file__, _native.__file__
print("smoke_cibw ok on Python", sys.version.split()[0])
