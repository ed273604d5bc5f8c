"""Photos on disk: finding, reading, writing, auditing and splitting them."""
