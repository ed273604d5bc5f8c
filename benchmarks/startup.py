"""What importing the package costs, and how fast its command answers: `python -m benchmarks.startup`."""

from benchmarks import bench

TITLE = "Start"

_IMPORTS = """
import time
start = time.perf_counter()
{first}
middle = time.perf_counter()
{second}
print(middle - start, time.perf_counter() - middle)
"""
_ALL_NAMES = "import rainbownet\nfor name in rainbownet.__all__: getattr(rainbownet, name)"


def measure(arguments):
    """Returns the rows of the table."""
    rounds = 1 if arguments.quick else 5
    package, keras, names, help_text = ([] for _ in range(4))
    for _ in range(rounds):
        package.append(_import("pass", "import rainbownet")[1])
        seconds = _import("import keras", _ALL_NAMES)
        keras.append(seconds[0])
        names.append(seconds[1])
        help_text.append(bench.child("-c", "from rainbownet.cli import main; main()", "--help")[0])
    return [
        bench.Row("import keras", min(keras), "s"),
        bench.Row("import rainbownet", min(package), "s", ("<=", 0.3)),
        bench.Row("import keras, then rainbownet and all its names: over keras", min(names), "s"),
        bench.Row("rainbownet --help", min(help_text), "s", ("<=", 1)),
    ]


def _import(first, second):
    _, output = bench.child("-c", _IMPORTS.format(first=first, second=second))
    return [float(seconds) for seconds in output.splitlines()[-1].split()]


if __name__ == "__main__":
    bench.main(TITLE, measure)
