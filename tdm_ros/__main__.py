"""`python -m tdm_ros` is the console program `tdm_ros`."""

import sys

from tdm_ros.cli import main

sys.exit(main())
