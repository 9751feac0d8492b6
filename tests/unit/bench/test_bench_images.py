"""What `make bench` counts, on a Dockerfile and a log made by hand: its figures are only as good as this."""

from types import SimpleNamespace
from typing import cast

import pytest
from tests.bench.bench_images import MEASURES, WARM, Bench, done, salted

from musllinux.buildkit_log import parse

LOG = """\
#5 [native 1/2] RUN /b/apk-native.sh
#5 CACHED
#6 [configured 1/2] COPY --from=system /rootfs/ /
#6 DONE 5.5s
#7 [configured 2/2] RUN /b/apk-scripts.sh
#7 DONE 1.5s
#8 [internal] load build context
#8 DONE 3.0s
"""


def test_only_what_was_made_counts_and_housekeeping_does_not() -> None:
    assert done(parse(LOG.splitlines())) == {"configured": 7.0}


def test_copies_are_not_emulated() -> None:
    assert done(parse(LOG.splitlines()), command="RUN") == {"configured": 1.5}


def test_the_wanted_stages_get_a_step_of_their_own_and_the_others_stay() -> None:
    text = "FROM --platform=$BUILDPLATFORM base AS native\nRUN a\nFROM native AS cp311-cp311\nRUN b\n"
    assert salted(text, lambda stage: not WARM.match(stage)) == text.replace(
        "AS cp311-cp311\n", "AS cp311-cp311\nCOPY build/salt /.salt\n"
    )


@pytest.mark.parametrize("stage", ["base", "native", "rust-builder", "installer", "build-python-3.14"])
def test_what_all_images_share_is_no_image_s_cost(stage: str) -> None:
    assert WARM.match(stage)


@pytest.mark.parametrize("stage", ["rust", "rust-std", "cp314-cp314", "tools", "system", "sysroot", "image"])
def test_what_an_image_has_for_itself_is(stage: str) -> None:
    assert not WARM.match(stage)


def test_a_measure_names_what_it_cannot_be_taken_without() -> None:
    image = SimpleNamespace(interpreters=(SimpleNamespace(series="3.14"),))
    bench = cast("Bench", SimpleNamespace(images={"x86_64": image}))
    assert MEASURES["ways"].missing(bench) == ["aarch64", "3.11"]
    assert MEASURES["images"].missing(bench) == MEASURES["unchanged"].missing(bench) == []
