"""The ROS 2 side, one thin node a file: convert, validate, store, call a room below, publish."""

import os

# Matrices here are small: a second thread costs more than it gives, the other core is for the trainer.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
