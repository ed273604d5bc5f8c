"""Speed and memory, measured: each module is a command that prints a table, `python -m benchmarks` runs them all."""

import os

# Here, because it must be set before any of the modules imports TensorFlow, whose messages would tear the tables.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
