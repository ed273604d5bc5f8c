"""`rainbownet colorize` on a photo of 12 megapixels: `python -m benchmarks.colorize` measures peak memory and stages.

The command runs in a process of its own, on a folder of copies of the photo. The first pays for what the network and
the tables need once; of the others each stage counts with its shortest time.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from benchmarks import bench

TITLE = "Colorizing a photo of 12 megapixels"
HEIGHT, WIDTH = 3000, 4000


def measure(arguments):
    """Returns the rows of the table."""
    height, width = (300, 400) if arguments.quick else (HEIGHT, WIDTH)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "photos").mkdir()
        photo = Image.fromarray(bench.made_up_photos(1, height, width)[0])
        for i in range(2 if arguments.quick else 5):
            photo.save(folder / "photos" / f"{i}.jpg", quality=92)
        _, output = bench.child(
            "-m", "benchmarks.colorize", "--child", arguments.model or _model(folder, arguments.quick),
            folder / "photos", folder / "out",
        )  # fmt: skip
    result = json.loads(output.splitlines()[-1])
    stages, processor = ({stage: min(times) for stage, times in result[key].items()} for key in ("wall", "processor"))
    total = sum(stages.values())
    aims = {} if arguments.quick else {"memory": ("<=", 1.5), "time": ("<=", 3), "other": ("<=", 50)}
    return [
        bench.Row(f"peak memory, {width} x {height}", result["peak"] / 1e9, "GB", aims.get("memory")),
        *(bench.Row(f"time: {stage}", seconds, "s") for stage, seconds in stages.items()),
        bench.Row("time: in all, without imports and loading the model", total, "s", aims.get("time")),
        bench.Row("other work's share of it", 100 * stages["other work"] / total, "%", aims.get("other")),
        bench.Row("processor time in all, on a busy machine the better measure", sum(processor.values()), "s"),
        bench.Row("other work's share of processor time", 100 * processor["other work"] / sum(processor.values()), "%"),
    ]


def _model(folder, quick):
    """The default model; where little is to be done, an untrained one, which is there also where no preset is."""
    from rainbownet import presets, systems

    if not quick:
        return presets.DEFAULT
    path = folder / "untrained.keras"
    systems.get("rainbownet", size=128, filters=2).model().save(path)
    return path


def _child(model, photos, out):
    """The command itself, with clocks at the functions that read, predict and write."""
    from rainbownet import cli
    from rainbownet.color_model import ColorModel
    from rainbownet.data import photos as module

    # For each stage and each photo the clocks before and after.
    spans = {"decoding": [], "network": [], "encoding": []}

    def timed(owner, name, stage):
        function = getattr(owner, name)

        def call(*args, **kwargs):
            before = _clocks()
            result = function(*args, **kwargs)
            spans[stage].append((before, _clocks()))
            return result

        setattr(owner, name, call)

    timed(module, "read_photo", "decoding")
    timed(ColorModel, "predict_chroma", "network")
    timed(module, "write_photo", "encoding")
    sys.argv = ["rainbownet", "colorize", photos, "--output", out, "--model", model]
    try:
        cli.main()
    except SystemExit as end:
        if end.code:
            raise
    result = {"peak": bench.peak_memory()}
    for i, clock in enumerate(("wall", "processor")):
        times = {stage: [after[i] - before[i] for before, after in taken[1:]] for stage, taken in spans.items()}
        begins = [before[i] for before, _ in spans["decoding"][1:]]
        ends = [after[i] for _, after in spans["encoding"][1:]]
        named = zip(*times.values(), strict=True)
        times["other work"] = [end - begin - sum(t) for begin, end, t in zip(begins, ends, named, strict=True)]
        result[clock] = times
    print(json.dumps(result))


def _clocks():
    return time.perf_counter(), time.process_time()


def add_arguments(parser):
    """Adds the arguments of this benchmark."""
    parser.add_argument("--model", help="preset, .keras file or folder of a run; the default preset if none is given")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        _child(*sys.argv[2:])
    else:
        bench.main(TITLE, measure, add_arguments)
