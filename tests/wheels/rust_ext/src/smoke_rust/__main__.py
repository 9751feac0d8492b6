"""python -m smoke_rust: what a wheel's own test suite would do. Exit code 0 and one line when all is right."""

import os
import sys
import sysconfig
import tempfile
import time

from smoke_rust import _c, _rust

MOMENT = 2_524_608_000  # 2050-01-01, beyond a time_t of 32 bits
WAIT = 0.3  # seconds

wide = sysconfig.get_config_var("SIZEOF_TIME_T") == 8
with tempfile.NamedTemporaryFile() as file:
    os.utime(file.name, ns=(0, MOMENT * 10**9 + 123_456_789))
    if wide:
        # qemu-user leaves the nanoseconds of stat(2) out on s390x (statx(2) has them): CPython's own stat shows whether
        fractions = {123_456_789, os.stat(file.name).st_mtime_ns % 10**9}
        for module in (_c, _rust):
            second, fraction = module.modified(file.name)
            assert second == MOMENT, (module.__name__, second)
            assert fraction in fractions, (module.__name__, fraction)
    os.utime(file.name, (0, 1_000_000_000))
    for module in (_c, _rust):
        assert module.modified(file.name) == (1_000_000_000, 0), module.__name__

for module in (_c, _rust):
    assert abs(module.now() - time.time()) < 60, module.__name__
    for name, nanoseconds in module.waits(int(WAIT * 10**9)).items():
        # too early is what a mixture of both ABIs shows; under emulation and load late means nothing
        assert WAIT <= nanoseconds / 10**9 < WAIT + 30, (module.__name__, name, nanoseconds)

count = 1_000_000
assert _rust.sum_in_threads(count) == count * (count - 1) // 2
assert _rust.panics() == 4
assert _rust.text("é") == "é, in Rust"
if sysconfig.get_config_var("Py_GIL_DISABLED"):
    assert not sys._is_gil_enabled(), "an extension switched the GIL on"
print(f"smoke_rust ok on Python {sys.version.split()[0]}, {'2050 and ' if wide else ''}timeouts as in C")
