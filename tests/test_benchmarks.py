"""Smoke tests: each benchmark runs on little data and fills its table; what it measures is up to the machine."""

import json
import subprocess
import sys
import types

import pytest

pytest.importorskip("benchmarks", reason="the benchmarks are in the checkout only")

from benchmarks import bench, colorize, encode, loss, network, pipeline, startup, upsampling

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")


def _figures(module, **arguments):
    rows = module.measure(types.SimpleNamespace(quick=True, **arguments))
    return {row.what: row.value for row in rows}


def test_encode():
    figures = _figures(encode, photos=None)
    assert figures["largest difference of L to scikit-image"] < 1e-3
    assert figures["same bucket as from scikit-image's Lab"] > 99.9
    assert figures["faster than scikit-image"] > 0


def test_pipeline():
    assert all(value > 0 for value in _figures(pipeline, photos=None).values())


def test_upsampling():
    figures = _figures(upsampling, photos=None)
    # Made-up photos have no edges in common with their colours: only that it does little harm can be seen on them.
    assert 0 < figures["4 times, everywhere: linear"] < figures["16 times, everywhere: linear"]
    assert figures["8 times, everywhere: along the luminance"] < 1.2 * figures["8 times, everywhere: linear"]


def test_network():
    figures = _figures(network)
    assert 0 < figures["fast, as it is shown to it, compiled"] < figures["rainbownet_plain, at 256 x 256, compiled"]


@pytest.mark.slow
@linux_only
def test_colorize():
    figures = _figures(colorize, model=None)
    assert 0.1 < figures["peak memory, 400 x 300"] < 4
    assert 0 < figures["other work's share of it"] < 100


@pytest.mark.slow
def test_startup():
    assert 0 < _figures(startup)["import rainbownet"] < _figures(startup)["import keras"]


@pytest.mark.slow
@linux_only
def test_loss():
    assert len(_figures(loss)) == 3


def test_memory_is_seen():
    if sys.platform != "linux":
        pytest.skip("peak memory is read from /proc")
    before = bench.memory()
    bytearray(b"1") * 50_000_000
    assert bench.peak_memory() > before + 45_000_000


def test_made_up_photos_are_as_colorful_as_photos():
    from rainbownet import evaluation

    photos = bench.made_up_photos(4, 96, 128)
    assert photos.shape == (4, 96, 128, 3)
    assert all(25 < evaluation.colorfulness(photo) < 75 for photo in photos)


def test_the_shortest_time_counts():
    ticks = iter([0, 5, 5, 6, 10, 12, 12, 20])
    calls = []
    times = bench.shortest(
        {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 2, clock=lambda: next(ticks)
    )
    assert times == {"a": 2, "b": 1}
    assert calls == ["a", "b"] * 3


def test_figures_survive_json(tmp_path):
    rows = [
        bench.Row("speed", 7.5, "times", (">=", 5)),
        bench.Row("memory", 2.0, "GB", ("<=", 1.5)),
        bench.Row("x", 1, "s"),
    ]
    bench.write_json(tmp_path / "figures.json", {"title": rows})
    assert bench.read_json(tmp_path / "figures.json") == {"title": rows}
    assert [row["met"] for row in json.loads((tmp_path / "figures.json").read_text())["results"]["title"]] == [
        True,
        False,
        None,
    ]
    assert "| speed | 7.5 times | >= 5 times |" in bench.markdown({"title": rows})


def test_the_commands_have_help():
    for module in ("benchmarks", "benchmarks.startup"):
        done = subprocess.run(
            [sys.executable, "-m", module, "--help"], cwd=bench.CHECKOUT, capture_output=True, text=True
        )
        assert done.returncode == 0
        assert "--json" in done.stdout
