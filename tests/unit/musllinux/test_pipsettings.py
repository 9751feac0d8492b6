"""pip's settings, as `pip config list` and PIP_* tell them."""

from hypothesis import given
from hypothesis import strategies as st

from musllinux import pipsettings

LISTED = """\
:env:.cert='/etc/ssl/own.pem'
:env:.disable-pip-version-check='1'
global.cert='/other.pem'
global.index-url='https://user:secret@mirror.invalid/simple'
global.extra-index-url='\\nhttps://one.invalid/simple\\nhttps://two.invalid/simple'
install.index-url='https://install.invalid/simple'
download.index-url='https://download.invalid/simple'
"""


def test_variables_win_over_files_and_install_over_global() -> None:
    found = pipsettings.parse(LISTED)
    assert found["cert"] == "/etc/ssl/own.pem"
    assert found["index-url"] == "https://install.invalid/simple"


@given(st.text(max_size=200))
def test_whatever_pip_prints_is_read_without_an_error(listed: str) -> None:
    assert isinstance(pipsettings.parse(listed), dict)


@given(st.text(st.characters(exclude_categories=["C"]), max_size=60))
def test_values_come_through_pips_quoting(value: str) -> None:
    assert pipsettings.parse(f"global.index-url={value!r}") == {"index-url": value}
