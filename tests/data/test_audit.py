import csv
import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rainbownet.data.audit import audit, is_gray_or_sepia
from rainbownet.data.files import find_photos


def scene(seed=0, width=96, height=72):
    """(height, width, 3) uint8 of soft colours, others for each seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def toned(rgb, color=(255, 235, 205)):
    """A print of the photo in one colour."""
    gray = np.asarray(Image.fromarray(rgb).convert("L"))[..., None]
    return np.rint(gray * np.array(color) / 255).astype(np.uint8)


def save(path, rgb, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgb).save(path, **options)
    return path


@pytest.fixture
def folder(tmp_path):
    """One photo of each fate, in a folder."""
    root = tmp_path / "photos"
    save(root / "good.png", scene(1))
    save(root / "good too.jpg", scene(2))
    save(root / "small.png", scene(3, 60, 40))
    save(root / "gray.png", toned(scene(4), (255, 255, 255)))
    save(root / "sepia.png", toned(scene(5)))
    (root / "text.jpg").write_text("no photo")
    cut_off = save(root / "cut off.jpg", scene(6)).read_bytes()
    (root / "cut off.jpg").write_bytes(cut_off[: len(cut_off) // 2])
    (root / "same.png").write_bytes((root / "good.png").read_bytes())
    exif = Image.Exif()
    exif[0x010E] = "the same pixels, another file"
    save(root / "sub" / "same.png", scene(1), exif=exif)
    return root


def names(photos):
    return [photo.name for photo in photos]


def test_every_photo_gets_its_reason(folder):
    result = audit(find_photos(folder), 48, progress=False)
    assert names(result.kept) == ["good too.jpg", "good.png"]
    reasons = dict(result.refused)
    assert reasons.pop("cut off.jpg").startswith("unreadable: cut off.jpg is damaged or cut off")
    assert reasons.pop("text.jpg").startswith("unreadable: text.jpg is no photo")
    assert reasons == {
        "small.png": "too small",
        "gray.png": "gray or sepia",
        "sepia.png": "gray or sepia",
        "same.png": "exact duplicate of good.png",
        "sub/same.png": "exact duplicate of good.png",
    }
    assert result.counts == {"kept": 2, "unreadable": 2, "too small": 1, "gray or sepia": 2, "exact duplicate": 2}
    assert result.summary == "9 photos: 2 kept, 2 unreadable, 1 too small, 2 gray or sepia, 2 exact duplicate"


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_the_order_does_not_depend_on_the_threads(folder, workers):
    for i in range(120):
        save(folder / f"more {i % 40}" / f"{i:03}.png", scene(i % 50))
    photos = find_photos(folder)
    result = audit(photos, 48, progress=False, workers=workers)
    assert result.kept == [photo for photo in photos if photo in set(result.kept)]
    again = audit(photos, 48, progress=False, workers=3)
    assert (result.kept, result.refused) == (again.kept, again.refused)


def test_the_refused_are_listed_in_a_file(folder, tmp_path):
    path = tmp_path / "new" / "refused.csv"
    result = audit(find_photos(folder), 48, path, progress=False)
    with open(path, newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["photo", "reason"]
    assert [tuple(row) for row in rows] == result.refused


def test_names_that_are_no_unicode_are_listed(tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png"))
    try:
        path.write_text("no photo")
    except OSError:
        pytest.skip("this file system takes Unicode names only")
    save(tmp_path / "good.png", scene())
    audit(find_photos(tmp_path), 48, tmp_path / "refused.csv", progress=False)
    assert b"caf\xe9.png" in (tmp_path / "refused.csv").read_bytes()


def test_photos_of_one_name_in_two_folders_are_told_apart(tmp_path):
    for folder in "ab":
        save(tmp_path / folder / "photo.png", scene())
    photos = find_photos(tmp_path / "a") + find_photos(tmp_path / "b")
    assert audit(photos, 48, progress=False).counts["exact duplicate"] == 1


def test_another_size_is_no_duplicate(tmp_path):
    save(tmp_path / "a.png", scene())
    save(tmp_path / "b.png", np.kron(scene(), np.ones((2, 2, 1), np.uint8)))
    assert len(audit(find_photos(tmp_path), 48, progress=False).kept) == 2


def test_members_of_archives_are_looked_through(folder, tmp_path):
    import tarfile

    with tarfile.open(tmp_path / "photos.tar.gz", "w:gz") as archive:
        archive.add(folder, ".")
    plain = audit(find_photos(folder), 48, progress=False)
    packed = audit(find_photos(tmp_path / "photos.tar.gz"), 48, progress=False)
    assert (names(plain.kept), plain.refused) == (names(packed.kept), packed.refused)


def test_a_photo_that_cannot_be_opened_is_unreadable(folder):
    photos = find_photos(folder)
    (folder / "good.png").unlink()
    assert dict(audit(photos, 48, progress=False).refused)["good.png"].startswith("unreadable: ")


def test_nothing_left_is_an_error_and_still_listed(folder, tmp_path):
    with pytest.raises(ValueError, match=r"no photo is left .*8 too small.*at least 4000 pixels"):
        audit(find_photos(folder), 4000, tmp_path / "refused.csv", progress=False)
    assert len((tmp_path / "refused.csv").read_text().splitlines()) == 10


def test_no_photos_at_all_is_an_error():
    with pytest.raises(ValueError, match="no photo is left"):
        audit([], 48, progress=False)


def test_progress_goes_to_the_standard_error(folder, capsys):
    audit(find_photos(folder), 48)
    shown = capsys.readouterr()
    assert "Looking through the photos" in shown.err and not shown.out


def test_a_photo_in_colors_is_not_gray():
    assert not is_gray_or_sepia(scene())


@pytest.mark.parametrize("color", [(255, 255, 255), (255, 240, 215), (205, 220, 255)])
def test_prints_in_one_color_are_gray_or_sepia(color):
    assert is_gray_or_sepia(toned(scene(), color))


def test_one_small_patch_of_color_is_gray():
    rgb = toned(scene(), (255, 255, 255))
    rgb[:4, :4] = 255, 0, 0
    assert is_gray_or_sepia(rgb)


def test_only_few_of_many_photographs_are_refused():
    root = Path(__file__).resolve().parents[3] / "shared" / "data" / "photos" / "val"
    if not root.exists():
        pytest.skip("the sample photos are not there")
    counts = audit(find_photos(root), 64, progress=False).counts
    assert counts["kept"] >= 0.98 * sum(counts.values())


def test_memory_is_bounded(tmp_path, monkeypatch):
    # Photos are read when their turn is near, not all at once.
    file = io.BytesIO()
    Image.fromarray(scene()).save(file, "png")
    ahead = most = 0

    class Counted:
        name = path = "photo.png"

        def read(self):
            nonlocal ahead, most
            ahead += 1
            most = max(most, ahead - taken)
            return file.getvalue()

    taken = 0
    from rainbownet.data import audit as module

    in_order = module._in_order

    def counted(*arguments):
        nonlocal taken
        for found in in_order(*arguments):
            taken += 1
            yield found

    monkeypatch.setattr(module, "_in_order", counted)
    audit([Counted() for _ in range(300)], 48, progress=False)
    assert taken == 300 and most <= 2 * module._AHEAD + 1
