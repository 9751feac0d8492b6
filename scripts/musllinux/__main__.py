"""`python -m musllinux`."""

import sys

from musllinux.cli import main

sys.exit(main())
