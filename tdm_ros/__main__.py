"""`python -m tdm_ros` is the console program `tdm_ros`."""

import signal
import sys

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until a verb runs: an import may swallow an exception

from tdm_ros.cli import main

if __name__ == "__main__":
    sys.exit(main())
