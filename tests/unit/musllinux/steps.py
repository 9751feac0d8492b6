"""Which steps of a Dockerfile BuildKit would do again: a key for each, of everything that the step reads.

As BuildKit keys them before it runs anything: the step before, the instruction with its arguments, the content of what
it copies or mounts from the context, and the key of the stage that it copies or mounts from. What a step makes is not
looked at: BuildKit does less where a step that is done again makes the same.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

_FROM = re.compile(r"FROM (?:--platform=\S+ )?(\S+)(?: AS (\S+))?")
_MOUNT = re.compile(r"--mount=type=bind,(\S+)")


@dataclass(frozen=True)
class Step:
    """One instruction: its stage and text, and its key."""

    stage: str
    text: str
    key: str


def steps(dockerfile: str, args: Mapping[str, str], content: Callable[[str], str]) -> list[Step]:
    """Every step; `content` gives a digest of a path of the context."""
    reader = _Reader(args, content)
    lines = [line for line in dockerfile.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    for instruction in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        reader.take(" ".join(instruction.split()))
    return reader.done


def again(before: list[Step], after: list[Step]) -> list[str]:
    """`stage: instruction` (its first word) of the steps whose keys are new."""
    known = {step.key for step in before}
    return [f"{step.stage}: {step.text.split()[0]}" for step in after if step.key not in known]


class _Reader:
    def __init__(self, args: Mapping[str, str], content: Callable[[str], str]) -> None:
        self.done: list[Step] = []
        self._args, self._content = args, content
        self._stages: dict[str, str] = {}
        self._stage = self._key = ""

    def take(self, text: str) -> None:
        if match := _FROM.match(text):
            self._stage = match[2] or "image"
            self._key = self._stages.get(match[1]) or _hash(text)
        else:
            self._key = _hash(self._key, text, *self._reads(text))
            if text.split(maxsplit=1)[0] in ("RUN", "COPY"):
                self.done.append(Step(self._stage, text, self._key))
        self._stages[self._stage] = self._key

    def _reads(self, text: str) -> list[str]:
        kind, *words = text.split()
        if kind == "ARG":
            return [self._args.get(words[0], "")]
        if kind == "RUN":
            mounts = [dict(part.partition("=")[::2] for part in m.split(",")) for m in _MOUNT.findall(text)]
            return [self._from(m["from"]) if "from" in m else self._content(m["source"]) for m in mounts]
        if kind == "COPY" and words[0].startswith("--from="):
            return [self._from(words[0].removeprefix("--from="))]
        return [self._content(name) for name in words[:-1]] if kind == "COPY" else []

    def _from(self, stage: str) -> str:
        return self._stages[stage]


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
