"""Dates beyond 2038, and the sizes that struct and ctypes know.

Arguments: bits of a pointer, bits of time_t; "seconds" where an emulator's stat may know no nanoseconds.
"""

import ctypes
import datetime
import os
import pathlib
import struct
import sys
import tempfile
import time

POINTER, TIME_T = (int(word) // 8 for word in sys.argv[1:3])
LATE, YEAR = 2_524_608_000, 2050  # seconds from the epoch to the start of that year, UTC
# nanoseconds from the epoch that a file's time may be, once it has been set to the first
MODIFIED = {LATE * 10**9 + 7, *([LATE * 10**9] if "seconds" in sys.argv[3:] else [])}
SAYS_TIME_T = (3, 12)  # ctypes.c_time_t


def sizes() -> None:
    assert struct.calcsize("@P") == struct.calcsize("@n") == struct.calcsize("@l") == POINTER
    assert ctypes.sizeof(ctypes.c_void_p) == ctypes.sizeof(ctypes.c_long) == POINTER
    assert struct.unpack("@q", struct.pack("@q", LATE)) == (LATE,)
    if sys.version_info >= SAYS_TIME_T:
        assert ctypes.sizeof(getattr(ctypes, "c_time_t")) == TIME_T  # noqa: B009 - older ones have none


def refused() -> None:
    """A time_t of 32 bits cannot say it, and Python says so rather than naming another date."""
    for call in (time.gmtime, datetime.datetime.fromtimestamp):
        try:
            call(LATE)
        except OverflowError:
            continue
        raise AssertionError(f"{call} takes {LATE} with a time_t of 32 bits")


def told() -> None:
    assert time.gmtime(LATE).tm_year == YEAR
    assert time.mktime(time.localtime(LATE)) == LATE
    assert datetime.datetime.fromtimestamp(LATE, datetime.timezone.utc).year == YEAR
    with tempfile.NamedTemporaryFile() as file:
        os.utime(file.name, ns=(0, LATE * 10**9 + 7))
        assert pathlib.Path(file.name).stat().st_mtime_ns in MODIFIED
    # libc's own function, under the name that C code links where time_t has become wider than long
    libc = ctypes.CDLL(None)
    gmtime_r = libc["__gmtime64_r" if POINTER < TIME_T else "gmtime_r"]
    fields = (ctypes.c_int * 32)()
    assert gmtime_r(ctypes.byref(ctypes.c_int64(LATE)), fields)
    assert fields[5] + 1900 == YEAR, list(fields)


NARROW = struct.calcsize("@i") == TIME_T
sizes()
if NARROW:
    refused()
else:
    told()
print(f"pointers of {POINTER * 8} bits, time_t of {TIME_T * 8}: {YEAR} is {'refused' if NARROW else 'told'}")
