"""`python -m dfm_flax` is the `dfm` command."""

import sys

from dfm_flax.cli import main

sys.exit(main())
