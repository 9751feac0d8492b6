"""What apk's database of installed packages says, whatever else it holds."""

from hypothesis import given
from hypothesis import strategies as st

from musllinux.installed import parse

FIELD = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=10)


@given(st.lists(st.tuples(FIELD, FIELD), max_size=5))
def test_every_package_is_there_with_its_version(packages: list[tuple[str, str]]) -> None:
    paragraphs = [f"C:Q1abc=\nP:{name}\nV:{version}\nA:x86_64\nF:usr/bin\nR:P:x\n" for name, version in packages]
    assert list(parse("\n".join(paragraphs))) == [f"{name}-{version}" for name, version in packages]


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    assert all("-" in package for package in parse(text))
