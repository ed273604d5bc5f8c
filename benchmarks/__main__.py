"""All benchmarks, each in a process of its own: `python -m benchmarks`, with `--markdown` for the README."""

import argparse
import tempfile
from pathlib import Path

from rich.progress import track

from benchmarks import bench

NAMES = ("encode", "pipeline", "network", "colorize", "upsampling", "startup", "loss")


def main():
    """Runs the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="little data: whether they run at all")
    parser.add_argument("--markdown", action="store_true", help="print one table in Markdown")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    arguments = parser.parse_args()
    results = {}
    for name in track(NAMES, description="Benchmarks", transient=True):
        results.update(_run(name, ["--quick"] if arguments.quick else []))
    if arguments.markdown:
        print(bench.markdown(results))
    else:
        for title, rows in results.items():
            bench.console().print(bench.table(title, rows))
    if arguments.json:
        bench.write_json(arguments.json, results)


def _run(name, options):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "figures.json"
        bench.child("-m", f"benchmarks.{name}", "--json", path, *options)
        return bench.read_json(path)


if __name__ == "__main__":
    main()
