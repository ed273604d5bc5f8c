"""What all tests share."""

import os
import sys
from pathlib import Path

import pytest

# Before anything imports them: less of TensorFlow's chatter, and no window for a figure.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "Agg")


@pytest.fixture(autouse=True)
def seeded():
    """Gives every test the same random numbers whichever tests ran before it."""
    # Tests that do without Keras must not pay for its import.
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(0)


@pytest.fixture(scope="session")
def checkout():
    """The folder of the checkout."""
    return Path(__file__).resolve().parent.parent
