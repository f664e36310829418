"""`python -m llmos` is `llmos`."""

import sys

from llmos.cli import main

sys.exit(main())
