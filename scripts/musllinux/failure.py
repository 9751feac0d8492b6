"""What a failed BuildKit run means to the person who started it: one line, the step's last words, a remedy."""

import re

from musllinux.buildkit_log import Parser, Step
from musllinux.engine import connect
from musllinux.errors import FactoryError
from musllinux.run import CommandError

# The first of these that the output matches says what to do. Programs' own words; where from, in the comment.
_REMEDIES = (
    (  # every program, errno ENOSPC
        r"no space left on device",
        "make room: `docker system df` shows what is used, `docker builder prune` frees BuildKit's cache",
    ),
    (  # BuildKit and containerd, pulling
        r"failed to do request|failed to resolve|connection refused|no such host|TLS handshake timeout",
        "does the base's registry answer? `musllinux doctor` tries every source; the stand-in's comes back by itself",
    ),
    (  # containerd, content that is not what its digest says
        r"unexpected commit digest|failed size validation|failed precondition",
        "the base was changed on the way: compare its digest with the publisher's before you renew the lock",
    ),
    (  # apk: package/src/print.c
        r"temporary error|could not connect|network error|remote server returned error|DNS lookup error|timed out",
        "does the mirror answer? `musllinux doctor` tries every source; a rerun continues after the last finished step",
    ),
    (
        r"UNTRUSTED signature|BAD signature|BAD archive|checksum",
        "the mirror serves something that its key did not sign: try another one, and tell whoever runs it",
    ),
    (
        r"certificate verify failed|TLS: server certificate not trusted|certificate is not yet valid|has expired",
        "--ca-bundle names a bundle with your own CA; is this machine's clock right?",
    ),
    (r"[Pp]roxy.*(407|[Aa]uthenticat)", "https_proxy=http://user:password@proxy:port (percent-encoded)"),
    (  # BuildKit's own records after a crash of the engine
        r"failed to (load|get) (cache|edge|state)|snapshot .* does not exist|layer does not exist|unknown blob",
        "the engine's build cache is damaged: `docker builder prune` makes it forget, images stay",
    ),
)
_USUAL = "the log has the step's whole output; a rerun continues after the last finished step"


def explain(name: str, error: CommandError, steps: Parser, log: str) -> FactoryError:
    """The error for a build of image `name` that ended with `error`."""
    if gone := _engine_gone():
        return FactoryError(
            f"{name}: the container engine went away during the build: {gone.message}",
            hint=f"{gone.hint}; then run this again: finished steps are kept",
            log=log,
        )
    step = steps.failed
    said = "\n".join([step.message, *step.tail] if step else error.tail)
    return FactoryError(f"{name}: {_line(step) if step else error.message}", hint=_remedy(said), log=log)


def _line(step: Step) -> str:
    tail = "".join(f"\n    {line}" for line in step.tail)
    if step.own:
        return f"stage {step.stage}, step {step.index} of {step.total} failed: {step.command}{tail}"
    return f"{step.command}: {step.message}{tail}"


def _remedy(said: str) -> str:
    return next((hint for pattern, hint in _REMEDIES if re.search(pattern, said)), _USUAL)


def _engine_gone() -> FactoryError | None:
    try:
        connect(timeout=10).close()
    except FactoryError as error:
        return error
    return None
