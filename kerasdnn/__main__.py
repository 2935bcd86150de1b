"""`python -m kerasdnn` is the command `kerasdnn`."""

import sys

from kerasdnn.cli import main

sys.exit(main())
