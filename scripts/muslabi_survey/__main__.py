"""`python -m muslabi_survey CACHE [--no-fetch]`: fetch, audit, record, and write the page."""

from __future__ import annotations

import argparse
import sys
from datetime import date
from pathlib import Path

from muslabi_survey import page, results
from muslabi_survey.fetch import HERE, FetchError, fetch

PAGE = HERE.parents[1] / "docs" / "muslabi-survey.md"


def main() -> int:
    """Exit codes: 0 every finding is explained; 1 some are not; 2 a download failed."""
    parser = argparse.ArgumentParser(prog="python -m muslabi_survey", description=__doc__)
    parser.add_argument("cache", type=Path, help="a folder for some 1.5 GB of wheels")
    parser.add_argument("--no-fetch", action="store_true", help="audit what is there")
    given = parser.parse_args()
    if not given.no_fetch:
        try:
            fetch(given.cache)
        except FetchError as error:
            print(error, file=sys.stderr)
            return 2
    run = results.survey(given.cache, date.today())
    results.store(run)
    page.write(PAGE, run)
    open_ones = list(page.unexplained(run, page.explanations()))
    for result, said in open_ones:
        print(f"unexplained: {result.wheel}: {said.code}: {said.message} ({', '.join(said.files[:5])})")
    return 1 if open_ones else 0


if __name__ == "__main__":
    sys.exit(main())
