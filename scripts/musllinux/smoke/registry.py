"""What a check is, and the list that they are put on. A check is a small function; the decorator says where it belongs.

@check("identity", "uname names the architecture")
def uname(context): ...                     # returns the detail to show; raises Failed or LeftOut

@check("interpreters", "starts", each=interpreters)
def starts(context, subject): ...           # one check for every subject
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from musllinux.model import Image

Body = Callable[..., str]
Each = Callable[[Image], Sequence[tuple[str, Any]]]


class Failed(Exception):  # noqa: N818 - what is raised is an outcome of a check, not an error of this program
    """The image does not do what the check asks. The text is one or several lines."""


class LeftOut(Exception):  # noqa: N818 - likewise
    """The check cannot be made here; the text says why. It is counted and shown, never passed over."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing to find out of one image. `weight`: seconds it takes about; long ones start first."""

    name: str
    group: str
    body: Body
    subject: str  # what of the image it is about: "cp39-cp39", or empty for the whole
    arguments: tuple[Any, ...]  # further ones of `body`: none, or the subject as an object
    after: frozenset[str]  # groups that must have ended before
    weight: int


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What the decorator was told: a check, or one for each of an image's subjects."""

    name: str
    group: str
    body: Body
    each: Each | None
    after: frozenset[str]
    weight: int

    def checks(self, image: Image) -> Iterable[Check]:
        subjects = [("", None)] if self.each is None else self.each(image)
        for label, subject in subjects:
            yield Check(
                name=self.name,
                group=self.group,
                body=self.body,
                subject=label,
                arguments=() if self.each is None else (subject,),
                after=self.after,
                weight=self.weight,
            )


_entries: list[Entry] = []


def check(
    group: str, name: str, *, each: Each | None = None, after: Sequence[str] = (), weight: int = 1
) -> Callable[[Body], Body]:
    """Put the decorated function on the list. See the module's docstring."""

    def add(body: Body) -> Body:
        entry = Entry(name=name, group=group, body=body, each=each, after=frozenset(after), weight=weight)
        _entries.append(entry)
        return body

    return add


def registered() -> Sequence[Entry]:
    """What has been put on the list so far, in the order of the decorators."""
    return tuple(_entries)


def interpreters(image: Image) -> Sequence[tuple[str, Any]]:
    """For `each`: every interpreter of the image."""
    return [(one.tag, one) for one in image.interpreters]


def require(condition: object, problem: str) -> None:
    """Raise Failed with `problem` unless the condition holds."""
    if not condition:
        raise Failed(problem)


def same(what: str, found: object, expected: object) -> None:
    """Raise Failed with both values unless they are equal."""
    require(found == expected, f"{what} is {found!r}, not {expected!r}")
