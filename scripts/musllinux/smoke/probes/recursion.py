"""Recurse through C in a thread until Python itself says stop. With musl's default stack of 128 KiB this is a crash.

Argument: the levels that must be reached, each a Python frame, a call of map and a call of max.
"""

import sys
import threading

ENOUGH = int(sys.argv[1])
reached = 0
stopped = False


def down(depth: int) -> int:
    global reached  # noqa: PLW0603 - a probe of ten lines
    reached = depth
    return max(map(down, [depth + 1]))


def work() -> None:
    global stopped  # noqa: PLW0603
    try:
        down(1)
    except RecursionError:
        stopped = True


thread = threading.Thread(target=work)
thread.start()
thread.join()
if not stopped or reached < ENOUGH:
    sys.exit(f"recursion in a thread: stopped {'properly' if stopped else 'wrongly'} after {reached} levels")
print(f"{reached} levels through C in a thread, then RecursionError")
