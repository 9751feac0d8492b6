"""python -m smoke_cxx: what a wheel's own test suite would do. Exit code 0 and one line when all is right."""

import sys
import sysconfig
import tempfile

from smoke_cxx import _native


def raises(expected: type, text: str) -> bool:
    try:
        _native.number(text)
    except expected:
        return True
    return False


assert _native.number("42") == 42
assert raises(ValueError, "none")
assert raises(OverflowError, "9" * 40)
assert _native.threads() == 10
with tempfile.NamedTemporaryFile("w") as file:
    file.write("b a b\n")
    file.flush()
    assert _native.words(file.name) == "6 a=01 b=02", _native.words(file.name)
try:
    _native.words("/there/is/no/such/file")
except OSError as error:
    assert "No such file" in str(error), error
else:
    raise AssertionError("std::filesystem_error did not come through")
if sysconfig.get_config_var("Py_GIL_DISABLED"):
    assert not sys._is_gil_enabled(), "the extension switched the GIL on"
print(f"smoke_cxx ok on Python {sys.version.split()[0]}")
