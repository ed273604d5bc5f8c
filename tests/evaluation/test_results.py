"""What is told of an evaluation: the table, the files, the page and the verdict."""

import base64
import csv
import io
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from rainbownet import evaluation as ev
from rainbownet.damage import DAMAGES
from rainbownet.data.files import find_photos

from .shared import Painter, from_luminance, gray, real_photos, write_photos


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def report(folder):
    """Of a model that knows, with all that there is."""
    return ev.evaluate(Painter(from_luminance), find_photos(folder), damages=DAMAGES, examples=2, progress=False)


def test_a_photo_whose_name_is_no_unicode_is_in_all_files(tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png"))
    Image.fromarray(real_photos(48)[0]).save(path)
    found = ev.evaluate(Painter(gray), find_photos(tmp_path), damages=DAMAGES, examples=1, progress=False)
    out = tmp_path / "out"
    found.to_json(out / "results.json")
    found.to_csv(out / "photos.csv")
    ev.write_page(found, out / "report.html")
    assert all(b"caf\xe9.png" in (out / name).read_bytes() for name in ("photos.csv", "report.html"))


def _text(table):
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(table)
    return " ".join(console.export_text().split())  # the caption is wrapped somewhere


def test_the_table_shows_figures_and_protocol(report):
    text = _text(report.table())
    for word in (*report.rows, "balanced AuC", "15 photos", "short side 32", "1,234 parameters", "the truth"):
        assert word in text
    for key in ("psnr", "ciede2000"):
        assert f"{report.rows[ev.MODEL][key]:.2f}" in text


def test_the_table_of_gains_shows_intervals(report):
    text = _text(report.gains_table())
    gain = report.gains[ev.GRAY]["auc_balanced"]
    low, high = gain["interval"]
    assert f"{gain['mean']:+.1f} ({low:+.1f} to {high:+.1f})" in text


def test_the_damage_grid_shows_each_damage_and_its_loss(report):
    text = _text(report.damage_table())
    for name in ("undamaged", *DAMAGES):
        assert name in text
    for entry in report.damage.values():
        assert f"{entry['loss']['auc_balanced']['share_of_gain']:.0%}" in text


def test_json_holds_everything(report, tmp_path):
    report.to_json(tmp_path / "results.json")
    content = json.loads((tmp_path / "results.json").read_text())
    assert content["rows"] == report.rows
    assert content["protocol"]["model"] == "painter"
    assert content["verdict"] == ev.verdict(report)
    assert len(content["per_photo"]) == 15
    assert content["gains"] == report.gains and content["damage"].keys() == DAMAGES.keys()
    assert content["intervals"][ev.MODEL]["ssim"] == report.intervals[ev.MODEL]["ssim"]


def test_csv_has_a_line_for_each_photo_and_row(report, tmp_path):
    report.to_csv(tmp_path / "photos.csv")
    with open(tmp_path / "photos.csv", newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 15 * (4 + len(DAMAGES))
    of_model = [float(line["ciede2000"]) for line in lines if line["row"] == ev.MODEL]
    assert np.mean(of_model) == pytest.approx(
        np.mean([photo["ciede2000"][ev.MODEL] for photo in report.per_photo]), rel=1e-5
    )
    assert {line["name"] for line in lines} == {f"{i:02}.png" for i in range(15)}


def test_the_page_stands_alone_and_its_pictures_are_the_examples(report, tmp_path):
    ev.write_page(report, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page and "http" not in page
    assert not re.search(r'(?:src|href)="(?!data:)', page)
    assert 'name="viewport"' in page
    pictures = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)
    assert len(pictures) == 6 * 3 + 2 * 2 * len(DAMAGES)
    with Image.open(io.BytesIO(base64.b64decode(pictures[1]))) as ours:
        difference = np.asarray(ours, "float64") - report.examples[0].pictures[1][1]
    assert np.abs(difference).mean() < 3  # JPEG
    for word in ("Best photos", "Median photos", "Worst photos", "Damaged photos", "short side 32", *DAMAGES):
        assert word in page
    assert f"{report.rows[ev.MODEL]['psnr']:.2f}" in page


def test_the_page_tells_names_as_they_are(folder, tmp_path):
    (tmp_path / "a<b>&.png").write_bytes(find_photos(folder)[0].read())
    (tmp_path / "<i>.jpg").write_text("no photo")
    report = ev.evaluate(Painter(gray), find_photos(tmp_path), examples=1, progress=False)
    ev.write_page(report, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "a&lt;b&gt;&amp;.png" in page and "&lt;i&gt;.jpg" in page and "<i>" not in page


def test_verdict_on_a_model_that_knows(report):
    sentence = ev.verdict(report)
    assert sentence.startswith("On 15 photos the model is better than doing nothing in every measure: balanced AuC ")
    assert "times as colorful as the true ones" in sentence
    assert "evaluate on 30 or more" in sentence
    assert "damage takes most where photos are " in sentence


def test_verdict_on_gray_is_honest(folder):
    report = ev.evaluate(Painter(gray), find_photos(folder), progress=False)
    sentence = ev.verdict(report)
    assert "the model is no better than doing nothing" in sentence
    assert "turning gray" in sentence


def test_verdict_on_luck_is_honest(folder):
    """A model that is right about one photo and gray elsewhere has better means, but does not convince."""
    photos = find_photos(folder)[:12]
    lucky = []

    def paint(l):
        lucky.append(None)
        return from_luminance(l) if len(lucky) == 1 else gray(l)

    report = ev.evaluate(Painter(paint), photos, batch=1, progress=False)
    assert report.rows[ev.MODEL]["psnr"] > report.rows[ev.GRAY]["psnr"]
    assert "no better in" in ev.verdict(report) or "no better than doing nothing" in ev.verdict(report)
