"""python -m smoke_c: what a wheel's own test suite would do. Exit code 0 and one line when all is right."""

import os
import sys
import sysconfig
import tempfile
import time

from smoke_c import _native

count = 1_000_000
assert _native.sum_in_threads(count) == count * (count - 1) // 2

with tempfile.NamedTemporaryFile() as file:
    file.write(b"x" * 12345)
    file.flush()
    os.utime(file.name, ns=(0, 2_524_608_000_123_456_789))  # in 2050: beyond what 31 bits count
    told = os.stat(file.name)
    expected = (told.st_size, told.st_mtime_ns // 10**9, told.st_mtime_ns % 10**9)
    if _native.widths()["time_t"] == 8:  # 32-bit musl 1.1 has no time after 2038
        assert _native.status(file.name) == expected, (_native.status(file.name), expected)
        assert _native.calendar(2_524_608_000) == (2050, 2_524_608_000), _native.calendar(2_524_608_000)
    assert _native.status(file.name)[0] == 12345

assert abs(_native.now() - time.time()) < 60
os.environ["SMOKE_C"] = "set by Python"
assert _native.variable("SMOKE_C") == "set by Python"
assert _native.widths()["time_t"] == sysconfig.get_config_var("SIZEOF_TIME_T")
assert _native.widths()["off_t"] == 8
if sysconfig.get_config_var("Py_GIL_DISABLED"):
    assert not sys._is_gil_enabled(), "the extension switched the GIL on"
print(f"smoke_c ok on Python {sys.version.split()[0]}, {_native.widths()}")
