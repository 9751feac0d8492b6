"""LLVM out of PyPI's ziglang: one static program that is clang, lld and ar for every target.

`zig cc` is not used: it brings its own headers and libc. `zig clang` and `zig ld.lld` are LLVM's plain ones.
"""

from standin.catalogue import Inputs

# The recipe whose tree holds the program and clang's own headers.
RECIPE = "tool-zig"


def command(inputs: Inputs, tool: str) -> list[str]:
    """How to run one of its tools: clang, ld.lld, ar, ranlib."""
    home = inputs.tree(RECIPE)
    words = [str(home / "zig"), tool]
    return [*words, "-resource-dir", str(home / "lib")] if tool == "clang" else words
