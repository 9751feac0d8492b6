"""A tree against a pydantic model: every mistake at once, each with its line and what would be allowed."""

from collections.abc import Sequence
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from musllinux.mistakes import Mistake, suggestion
from musllinux.redact import redact_value
from musllinux.yamlfile import Items, Scalar, Table, Tree, find, place_of, plain

Model = TypeVar("Model", bound=BaseModel)
SHOWN = 60  # characters of a wrong value that a message repeats

_KINDS = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list, `[a, b]` or lines that begin with `- `",
    "dict_type": "a mapping, `key: value` lines",
    "model_type": "a mapping, `key: value` lines",
}


def validate(model: type[Model], tree: Tree) -> tuple[Model | None, list[Mistake]]:
    """The model that a tree describes, or the mistakes that keep it from being one."""
    try:
        return model.model_validate(plain(tree)), []
    except ValidationError as error:
        return None, [_mistake(model, tree, detail) for detail in error.errors(include_url=False)]


def beyond(known: Sequence[Mistake], found: Sequence[Mistake]) -> list[Mistake]:
    """Mistakes that do not merely follow from others: a value that could not be read is not missing too."""
    paths = {mistake.path for mistake in known}
    return [m for m in found if not any(m.path[:n] in paths for n in range(1, len(m.path) + 1))]


def _mistake(model: type[BaseModel], tree: Tree, detail: ErrorDetails) -> Mistake:
    path = tuple(step for step in detail["loc"] if step != "[key]")
    if detail["type"] == "extra_forbidden":
        known = _fields(model, path[:-1])
        place, allowed = place_of(tree, path, key=True), suggestion(str(path[-1]), known)
        return Mistake(place, path=path, what="unknown key", allowed=allowed)
    if detail["type"] == "missing":
        return Mistake(place_of(tree, path), path=path, what="missing")
    at_key = detail["loc"][-1:] == ("[key]",)
    what, allowed = _wrong(find(tree, path), detail, at_key=at_key)
    return Mistake(place_of(tree, path, key=at_key), path=path, what=what, allowed=allowed)


def _wrong(found: Tree | None, detail: ErrorDetails, *, at_key: bool) -> tuple[str, str]:
    kind, context = detail["type"], detail.get("ctx", {})
    got = f"{_shown(detail['input'])} as a name" if at_key else _describe(found)
    if kind == "string_type" and isinstance(found, Scalar) and found.value is not None:
        return f"{got} where text is needed", f'"{found.text}", in quotes'
    if kind == "too_short":
        return "too few entries", f"{context['min_length']} or more"
    if kind == "greater_than_equal":
        return got, f"{context['ge']} or more"
    return got, str(context.get("like") or context.get("expected") or _KINDS.get(kind, detail["msg"]))


def _describe(tree: Tree | None) -> str:
    match tree:
        case Scalar():
            return _describe_scalar(tree)
        case Items():
            return "a list"
        case Table():
            return "a mapping"
        case None:
            return "this"


def _describe_scalar(scalar: Scalar) -> str:
    match scalar.value:
        case None:
            return "nothing (null)"
        case bool():
            return f"{_shown(scalar.text)} (a boolean)"
        case int() | float():
            return f"{_shown(scalar.text)} (a number)"
        case str():
            return f'"{_shown(scalar.text)}"'


def _shown(value: object) -> str:
    text = redact_value(str(value))
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _fields(model: type[BaseModel], path: Sequence[str | int]) -> list[str]:
    """The keys a model allows at a path."""
    here: Any = model
    for step in path:
        if isinstance(here, type) and issubclass(here, BaseModel):
            here = here.model_fields[str(step)].annotation
        else:  # dict[Name, Section] or list[Section]
            here = get_args(here)[-1]
    return list(here.model_fields)
