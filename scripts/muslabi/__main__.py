"""`python -m muslabi` is the command."""

import sys

from muslabi.cli import main

sys.exit(main())
