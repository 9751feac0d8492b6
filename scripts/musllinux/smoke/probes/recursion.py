"""Recurse through C in a thread up to Python's own limit. With musl's default stack of 128 KiB this is a crash."""

import sys
import threading

LIMIT = 1000
found: "list[int]" = []


def down(depth: int) -> int:
    # max() and map() put C frames between the Python ones, in every release
    return depth if depth >= LIMIT - 60 else max(map(down, [depth + 1]))


def endless(depth: int) -> int:
    return max(map(endless, [depth + 1]))


def work() -> None:
    found.append(down(0))
    try:
        endless(0)
    except RecursionError:
        found.append(-1)


sys.setrecursionlimit(LIMIT)
thread = threading.Thread(target=work)
thread.start()
thread.join()
if found != [LIMIT - 60, -1]:
    sys.exit(f"recursion in a thread ended wrong: {found}")
print(f"{found[0]} levels through C in a thread, then RecursionError")
