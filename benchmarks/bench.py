"""What the benchmarks share: arguments, fair timing, peak memory, made-up photos, the table and the JSON.

Two ways of doing a thing are timed in turns and each counts with its shortest time: on a busy machine both then had
the same chance of a quiet moment, and their ratio is steadier than either time.
"""

import argparse
import dataclasses
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

CHECKOUT = Path(__file__).resolve().parent.parent

# Children print one line of JSON; TensorFlow's greetings would only be in the way.
_ENVIRONMENT = {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONWARNINGS": "ignore", "PYTHONIOENCODING": "utf-8"}


@dataclasses.dataclass(frozen=True)
class Row:
    """A figure: what it is, its value and unit, and the aim, as a pair of ">=" or "<=" and a number."""

    what: str
    value: float
    unit: str
    aim: tuple[str, float] | None = None

    @property
    def met(self):
        """Whether the aim is met, `None` without one."""
        if self.aim is None:
            return None
        relation, bound = self.aim
        return self.value >= bound if relation == ">=" else self.value <= bound


def main(title, measure, add_arguments=None):
    """Runs a benchmark as a command.

    Args:
        title: of the table.
        measure: function from the parsed arguments to a list of `Row`.
        add_arguments: function that adds the benchmark's own arguments to the parser.
    """
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--quick", action="store_true", help="a few seconds on little data: whether it runs at all")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    if add_arguments:
        add_arguments(parser)
    arguments = parser.parse_args()
    rows = measure(arguments)
    console().print(table(title, rows))
    if arguments.json:
        write_json(arguments.json, {title: rows})


def console():
    """Makes the console; where the output is no terminal, lines are long enough for the tables."""
    return Console() if Console().is_terminal else Console(width=120)


def table(title, rows):
    """Draws figures as a table."""
    drawn = Table(title=title)
    for heading in ("", "figure", "aim", ""):
        drawn.add_column(heading, justify="right" if heading in ("figure", "aim") else "left")
    for row in rows:
        drawn.add_row(
            row.what, f"{figure(row.value)} {row.unit}", aim(row), {None: "", True: "met", False: "missed"}[row.met]
        )
    return drawn


def figure(value):
    """Writes a number with three digits that count."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def aim(row):
    """Writes the aim of a row."""
    return "" if row.aim is None else f"{row.aim[0]} {row.aim[1]:g} {row.unit}"


def write_json(path, results):
    """Writes the rows of one or more benchmarks with the machine they ran on."""
    content = {
        "machine": {"cores": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()},
        "results": {
            title: [{**dataclasses.asdict(row), "met": row.met} for row in rows] for title, rows in results.items()
        },
    }
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_json(path):
    """Reads what `write_json` wrote: a dict of the rows by title."""
    results = json.loads(path.read_text(encoding="utf-8"))["results"]
    return {
        title: [Row(row["what"], row["value"], row["unit"], row["aim"] and tuple(row["aim"])) for row in rows]
        for title, rows in results.items()
    }


def markdown(results):
    """Writes the rows of several benchmarks as one table in Markdown."""
    lines = ["| | figure | aim |", "| --- | ---: | ---: |"]
    for title, rows in results.items():
        lines.append(f"| **{title}** | | |")
        lines += [f"| {row.what} | {figure(row.value)} {row.unit} | {aim(row)} |" for row in rows]
    return "\n".join(lines)


def shortest(actions, rounds, clock=time.perf_counter):
    """Times functions in turns.

    Args:
        actions: dict of functions without arguments.
        rounds: how often each is called, after once to warm up.
        clock: function that tells seconds; `time.process_time` counts the work of all threads instead.

    Returns:
        Dict of the shortest time of each, in seconds.
    """
    for action in actions.values():
        action()
    times = dict.fromkeys(actions, float("inf"))
    for _ in range(rounds):
        for name, action in actions.items():
            start = clock()
            action()
            times[name] = min(times[name], clock() - start)
    return times


def child(*arguments):
    """Runs Python in a process of its own, in the checkout, so that neither imports nor memory are shared.

    Args:
        *arguments: of `python`.

    Returns:
        Pair of seconds from start to end and standard output.

    Raises:
        RuntimeError: it failed; the text is its own.
    """
    path = os.pathsep.join(filter(None, [str(CHECKOUT), os.environ.get("PYTHONPATH")]))
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        env={**os.environ, **_ENVIRONMENT, "PYTHONPATH": path},
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
    )
    seconds = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(done.stderr.strip() or done.stdout.strip())
    return seconds, done.stdout


def peak_memory():
    """Reads the most memory that this process ever held, in bytes (Linux; `getrusage` would count the parent's)."""
    return _status("VmHWM")


def memory():
    """Reads the memory that this process holds, in bytes (Linux)."""
    return _status("VmRSS")


def forget_peak_memory():
    """Makes `peak_memory` begin anew from what is held now (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")


def _status(field):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {field}; peak memory can be measured on Linux only.")


def made_up_photos(count, height, width, seed=0):
    """Makes pictures that are as smooth, as colourful and as grainy as photos: noise whose power falls with frequency.

    Args:
        count: number of pictures.
        height: in pixels.
        width: in pixels.
        seed: of the noise.

    Returns:
        (count, height, width, 3) uint8.
    """
    rng = np.random.default_rng(seed)
    photos = np.empty((count, height, width, 3), "uint8")
    for photo in photos:
        # Luminance varies about four times as much as the two opponent colours.
        light, red_green, yellow_blue = (amount * _cloud(rng, height, width) for amount in (55, 14, 20))
        channels = (light + red_green + yellow_blue, light - red_green + yellow_blue, light - 2 * yellow_blue)
        grain = rng.normal(0, 2, (height, width)).astype("float32")
        photo[:] = np.clip(np.stack([120 + channel + grain for channel in channels], axis=-1), 0, 255)
    return photos


def _cloud(rng, height, width):
    total = np.zeros((height, width), "float32")
    cells, strength = 3, 1.0
    while cells < max(height, width):
        noise = Image.fromarray(rng.normal(0, strength, (cells, cells)).astype("float32"))
        total += np.asarray(noise.resize((width, height), Image.Resampling.BILINEAR))
        cells, strength = cells * 2, strength / 2
    return total
