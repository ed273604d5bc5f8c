"""The commands that prepare photos: what they make, and that they can be stopped and run again."""

import csv
import hashlib
import io
import json
import subprocess
import tarfile
import tomllib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("data_prep", reason="the preparation is in the checkout only")

from data_prep import augment, clusters, commands, embed, git_photos, near, pack, split
from rainbownet.data.files import find_photos


def photo(seed, width=90, height=70):
    """A colourful picture without flat areas, another one for each seed."""
    cells = np.random.default_rng(seed).integers(0, 256, (5, 6, 3)).astype("uint8")
    return Image.fromarray(cells).resize((width, height), Image.Resampling.BICUBIC)


def jpeg(image, **options):
    file = io.BytesIO()
    image.save(file, "JPEG", **{"quality": 95, **options})
    return file.getvalue()


def members(archive):
    with tarfile.open(archive) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}


def sentence(function, *arguments):
    """What a command tells when it ends with an error."""
    with pytest.raises(SystemExit) as end:
        function(*arguments)
    assert end.value.code == 1


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    for i in range(12):
        path = folder / f"{'ab'[i % 2]}/{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(photo(i)))
    return folder


@pytest.fixture
def in_threads(monkeypatch):
    """Starting processes takes seconds."""
    monkeypatch.setattr(commands, "processes", ThreadPoolExecutor)


@pytest.mark.parametrize("module", [augment, clusters, embed, near, pack, split])
def test_every_command_helps(module, capsys):
    with pytest.raises(SystemExit) as end:
        module.main(["--help"])
    assert end.value.code == 0
    assert f"python -m {module.__name__}" in capsys.readouterr().out


def test_the_difference_hash_says_which_cells_are_lighter_than_their_left_neighbors():
    cells = np.random.default_rng(0).permutation(256)[:72].reshape(8, 9).astype("uint8")
    file = io.BytesIO()
    Image.fromarray(np.kron(cells, np.ones((8, 8), "uint8"))).save(file, "PNG")
    bits = np.unpackbits(near.fingerprint(file.getvalue()).bits.view(np.uint8).reshape(2, 8)[0])
    expected = [cells[y, x + 1] > cells[y, x] for y in range(8) for x in range(8)]
    assert bits.tolist() == expected


def held_out(folder, **images):
    folder.mkdir()
    for name, image in images.items():
        (folder / f"{name}.png").write_bytes(jpeg(image, quality=100))
    return near.HeldOut([folder], progress=False)


def test_a_photo_saved_again_is_near(tmp_path):
    reserved = held_out(tmp_path / "held_out", it=photo(1, 300, 200), other=photo(2, 300, 200))
    assert len(reserved) == 2
    again = jpeg(photo(1, 300, 200).resize((120, 80)), quality=40)
    match = reserved.match(near.fingerprint(again))
    assert match.name == "it.png" and match.bits <= 4 and match.correlation > 0.97
    assert reserved.match(near.fingerprint(jpeg(photo(3, 300, 200)))) is None


def test_the_middle_square_of_a_photo_is_near(tmp_path):
    reserved = held_out(tmp_path / "held_out", whole=photo(1, 300, 200))
    square = photo(1, 300, 200).crop((50, 0, 250, 200)).resize((64, 64))
    assert reserved.match(near.fingerprint(jpeg(square))).name == "whole.png"


def test_a_squeezed_photo_is_near(tmp_path):
    reserved = held_out(tmp_path / "held_out", whole=photo(1, 300, 200))
    assert reserved.match(near.fingerprint(jpeg(photo(1, 300, 200).resize((224, 224))))).name == "whole.png"


def test_a_few_bits_more_count_where_the_thumbnails_agree(tmp_path):
    reserved = held_out(tmp_path / "held_out", it=photo(1))
    it = near.fingerprint(jpeg(photo(1), quality=100))
    flipped = near.Fingerprint(it.bits ^ np.uint64(0b111111), it.thumbnail)
    assert reserved.match(flipped).bits == 6
    assert reserved.match(near.Fingerprint(flipped.bits, 255 - it.thumbnail)) is None


def test_near_lists_what_it_finds(photos, tmp_path, capsys):
    held_out(tmp_path / "held_out", it=photo(3))
    out = tmp_path / "near.csv"
    sentence(near.main, [str(photos), "--held-out", str(tmp_path / "held_out"), "--out", str(out)])
    assert "1 of 12 photos" in capsys.readouterr().out
    (row,) = csv.DictReader(out.open())
    assert (row["photo"], row["held_out_photo"]) == ("b/3.jpg", "it.png")


def everything_wrong(folder):
    """A photo for each reason to leave one out, and two good ones."""
    gray = photo(20).convert("L")
    sepia = Image.merge("RGB", [gray.point(lambda v, f=f: v * f) for f in (1, 0.85, 0.6)])
    cut_out = Image.new("RGB", (90, 70), "white")
    cut_out.paste(photo(21, 40, 40), (20, 15))
    files = {
        "good.jpg": jpeg(photo(22)),
        "same.jpg": jpeg(photo(22)),
        "other.png": jpeg(photo(23)),
        "gray.jpg": jpeg(gray),
        "sepia.jpg": jpeg(sepia),
        "cut out.jpg": jpeg(cut_out),
        "small.jpg": jpeg(photo(24, 90, 50)),
        "long.jpg": jpeg(photo(25, 250, 70)),
        "broken.jpg": jpeg(photo(26))[:300],
        "tested.jpg": jpeg(photo(27)),
    }
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)


def test_pack_leaves_out_what_would_do_harm(tmp_path):
    everything_wrong(tmp_path / "photos")
    held_out(tmp_path / "held_out", it=photo(27))
    out = tmp_path / "set.tar"
    pack.main([str(tmp_path / "photos"), str(out), "--side", "64", "--held-out", str(tmp_path / "held_out")])
    result = json.loads((tmp_path / "set.json").read_text())
    assert result["counts"] == {
        "packed": 2, "exact duplicate": 1, "gray or sepia": 2, "drawing or cut-out": 1, "too small": 1, "too long": 1,
        "unreadable": 1, "near a held-out photo": 1,
    }  # fmt: skip
    assert dict(result["left_out"])["tested.jpg"] == "near a held-out photo: it.png"
    assert hashlib.sha256(out.read_bytes()).hexdigest() == result["sha256"]
    packed = members(out)
    assert len(packed) == 2 and "other.png.jpg" in packed
    for data in packed.values():
        image = Image.open(io.BytesIO(data))
        assert image.format == "JPEG" and image.size == (82, 64) and image.mode == "RGB"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["held_out", "photos", "set.json", "set.tar"]


def test_a_photo_that_is_packed_already_keeps_its_bytes(tmp_path):
    exif = Image.Exif()
    exif[0x010E] = "a secret"
    plain, told = jpeg(photo(1, 80, 64), quality=70), jpeg(photo(2, 80, 64), exif=exif)
    assert pack.prepare(plain, 64, 64)[:2] == ("", plain)
    why, packed, _ = pack.prepare(told, 64, 64)
    assert not why and b"a secret" in told and b"a secret" not in packed


def test_photos_between_the_least_side_and_the_side_are_packed_as_large_as_they_are(tmp_path, capsys):
    folder = tmp_path / "photos"
    folder.mkdir()
    for i, size in enumerate([(200, 150), (90, 70), (70, 50)]):
        (folder / f"{i}.jpg").write_bytes(jpeg(photo(i, *size)))
    out = tmp_path / "set.tar"
    pack.main([str(folder), str(out), "--side", "100", "--least", "64"])
    sizes = {name: Image.open(io.BytesIO(data)).size for name, data in members(out).items()}
    assert sizes == {"0.jpg": (133, 100), "1.jpg": (90, 70)}
    sentence(pack.main, [str(folder), str(tmp_path / "other.tar"), "--side", "100", "--least", "101"])
    assert "1..100" in capsys.readouterr().err


def test_the_order_is_drawn_and_the_count_is_kept(photos, tmp_path, in_threads):
    found = find_photos(photos)
    for name, options in {"all": {}, "few": {"count": 5}, "seed": {"seed": 1}}.items():
        result = pack.pack(found, tmp_path / f"{name}.tar", 64, progress=False, **options)
        assert result["counts"]["packed"] == options.get("count", 12)
    names = {name: list(members(tmp_path / f"{name}.tar")) for name in ("all", "few", "seed")}
    assert names["few"] == names["all"][:5]
    assert sorted(names["all"]) == sorted(names["seed"]) and names["all"] != names["seed"]
    assert names["all"] != sorted(names["all"])


class Counted:
    """A photo that counts how often it is read, and stops the pass where it is told to."""

    def __init__(self, file, stops=()):
        self.file, self.name, self.size, self.stops, self.reads = file, file.name, file.size, stops, 0

    def read(self):
        if self.name in self.stops:
            raise KeyboardInterrupt
        self.reads += 1
        return self.file.read()


def test_a_stopped_pass_goes_on(photos, tmp_path, in_threads, monkeypatch):
    found = find_photos(photos)
    pack.pack(found, tmp_path / "whole.tar", 64, progress=False)
    name = list(members(tmp_path / "whole.tar"))[6]
    in_order = commands.in_order
    monkeypatch.setattr(commands, "in_order", lambda *arguments: in_order(*arguments, ahead=1))
    with pytest.raises(KeyboardInterrupt):
        pack.pack([Counted(file, {name}) for file in found], tmp_path / "stopped.tar", 64, progress=False)
    assert not (tmp_path / "stopped.tar").exists()
    again = [Counted(file) for file in found]
    pack.pack(again, tmp_path / "stopped.tar", 64, progress=False)
    assert (tmp_path / "stopped.tar").read_bytes() == (tmp_path / "whole.tar").read_bytes()
    assert sum(file.reads for file in again) == 6


@pytest.mark.parametrize("cut", [0, 700, 5000])
def test_a_part_that_a_crash_cut_short_is_mended(photos, tmp_path, in_threads, monkeypatch, cut):
    found = find_photos(photos)
    pack.pack(found, tmp_path / "whole.tar", 64, progress=False)
    monkeypatch.setattr(pack._Unfinished, "finish", lambda self: None)
    pack.pack(found, tmp_path / "cut.tar", 64, progress=False)
    monkeypatch.undo()
    part, journal = tmp_path / ".cut.tar.part", tmp_path / ".cut.tar.journal"
    part.write_bytes(part.read_bytes()[:cut])
    journal.write_bytes(journal.read_bytes()[:-9])
    monkeypatch.setattr(commands, "processes", ThreadPoolExecutor)
    pack.pack(found, tmp_path / "cut.tar", 64, progress=False)
    assert (tmp_path / "cut.tar").read_bytes() == (tmp_path / "whole.tar").read_bytes()
    assert not part.exists() and not journal.exists()


def test_a_finished_archive_is_not_packed_again(photos, tmp_path, in_threads):
    out = tmp_path / "set.tar"
    first = pack.pack(find_photos(photos), out, 64, progress=False)
    again = [Counted(file) for file in find_photos(photos)]
    assert pack.pack(again, out, 64, progress=False) == first
    assert not any(file.reads for file in again)
    with pytest.raises(ValueError, match="otherwise"):
        pack.pack(again, out, 32, progress=False)


def test_nothing_to_pack_is_told(photos, tmp_path, in_threads, capsys):
    sentence(pack.main, [str(photos), str(tmp_path / "set.tar"), "--side", "500"])
    assert "12 too small" in capsys.readouterr().err and not (tmp_path / "set.tar").exists()


def commit(repository, **files):
    repository.mkdir(exist_ok=True)
    for name, data in files.items():
        path = repository / f"{name.replace('__', '/')}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    for command in (["init", "-q"], ["add", "."], [*who, "commit", "-q", "-m", "photos"]):
        subprocess.run(["git", "-C", str(repository), *command], check=True)
    head = subprocess.run(["git", "-C", str(repository), "rev-parse", "HEAD"], check=True, capture_output=True)
    return head.stdout.decode().strip()


def test_photos_are_read_from_a_bare_repository_at_any_commit(tmp_path):
    first = commit(tmp_path / "r", train__ä=jpeg(photo(1)), train__b=jpeg(photo(2)), val__c=jpeg(photo(3)))
    (tmp_path / "r/train/b.jpg").unlink()
    (tmp_path / "r/train/link.jpg").symlink_to("ä.jpg")
    commit(tmp_path / "r")
    subprocess.run(["git", "clone", "-q", "--bare", str(tmp_path / "r"), str(tmp_path / "r.git")], check=True)
    with git_photos.GitRepository(tmp_path / "r.git") as repository:
        assert [p.name for p in repository.photos()] == ["train/ä.jpg", "val/c.jpg"]
        found = repository.photos(first, "^train/")
        assert [p.name for p in found] == ["train/b.jpg", "train/ä.jpg"]
        assert [p.read() for p in found] == [jpeg(photo(2)), jpeg(photo(1))]
        with pytest.raises(ValueError, match="no commit"):
            repository.photos("1234567")
        with pytest.raises(ValueError, match="no photo"):
            repository.photos(first, "^test/")
        with pytest.raises(OSError, match="lacks"):
            repository.read("0" * 40)
    with pytest.raises(ValueError, match="no git repository"):
        git_photos.GitRepository(tmp_path)


def test_sets_are_packed_from_mirrors_and_none_is_near_the_held_out_one(tmp_path, in_threads, capsys):
    (tmp_path / "mirrors/c+d").mkdir(parents=True)
    commit(tmp_path / "mirrors/a+b", **{f"x__{i}": jpeg(photo(i)) for i in range(6)})
    again = {f"y__{i}": jpeg(photo(i).resize((120, 100)), quality=60) for i in range(4, 9)}
    commit(tmp_path / "mirrors/c+d/repo", **again)
    sets = tmp_path / "sets.toml"
    sets.write_text(
        "seed = 1\n"
        '[[set]]\nname = "real"\npart = "train"\nrepository = "a/b"\ncommit = "HEAD"\nmatch = "^x/"\nside = 64\n'
        '[[set]]\nname = "test"\npart = "held_out"\nrepository = "c/d"\ncommit = "HEAD"\nmatch = "^y/"\nside = 64\n'
    )
    command = ["--sets", str(sets), "--mirrors", str(tmp_path / "mirrors"), str(tmp_path / "out")]
    pack.main(command)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("test: 5 packed") and lines[1].startswith("real: 4 packed, 2 near a held-out photo")
    reserved = near.HeldOut([tmp_path / "out/held_out/test.tar"], progress=False)
    assert near.find_near([tmp_path / "out/train/real.tar"], reserved, progress=False) == ([], 4)
    pack.main(command)
    assert capsys.readouterr().out.splitlines() == lines
    (tmp_path / "mirrors/a+b").rename(tmp_path / "mirrors/gone")
    sentence(pack.main, command)
    assert "no clone of a/b;" in capsys.readouterr().err


def test_the_list_of_sets_is_whole(checkout):
    plan = tomllib.loads((checkout / "data_prep/photo_sets.toml").read_text())
    sets = plan["set"]
    assert len({(entry["part"], entry["name"]) for entry in sets}) == len(sets)
    for entry in sets:
        assert len(entry["commit"]) == 40 and entry["side"] >= 64 and entry["terms"] and entry["what"]
    parts = {part: [entry["name"] for entry in sets if entry["part"] == part] for part in ("held_out", "thumbnails")}
    strangers = ("challenge", "washington", "crowds", "msrc", "sunscenes")
    chosen_on = [f"choose_{name}" for name in ("bsds", "kodak", "urban", "sunhays", "coco", "thumbs", *strangers)]
    assert parts == {"held_out": ["heldout_flickr", *chosen_on], "thumbnails": ["tiny64"]}
    assert {entry["part"] for entry in sets} == {"train", "large", "more", *parts}
    assert all(entry["terms"] for entry in plan["picked"])


@pytest.mark.parametrize(
    ("document", "expected"),
    [("color_unet", {"train": 810, "val": 90, "test": 100}), ("colornet", {"train": 900, "test": 100}),
     ("dropout_cnn", {"train": 700, "test": 300})],
)  # fmt: skip
def test_the_documents_shares_are_met(document, expected):
    splits = split.assign([f"{i}.jpg" for i in range(1000)], **split.DOCUMENTS[document])
    for name, number in expected.items():
        # Three standard deviations of a binomial count.
        assert abs(list(splits.values()).count(name) - number) < 3 * np.sqrt(number * (1 - number / 1000))


def test_counts_are_met_and_a_new_photo_moves_few():
    names = [f"{i}.jpg" for i in range(600)]
    splits = split.assign(names, **split.DOCUMENTS["rainbownet"])
    assert [list(splits.values()).count(name) for name in ("train", "val", "test")] == [106, 247, 247]
    more = split.assign([*names, "new.jpg"], **split.DOCUMENTS["rainbownet"])
    assert sum(splits[name] != more[name] for name in names) <= 2
    with pytest.raises(ValueError, match="leave none"):
        split.assign(names[:494], **split.DOCUMENTS["rainbownet"])


def test_split_writes_a_list(photos, tmp_path, capsys):
    split.main([str(photos), str(tmp_path / "list.csv"), "--counts", "val=3"])
    assert capsys.readouterr().out == "9 train, 3 val\n"
    splits = split.read_list(tmp_path / "list.csv")
    assert list(splits) == [found.name for found in find_photos(photos)]


@pytest.mark.parametrize("copy", [False, True])
def test_split_makes_folders_and_moves_what_has_to_move(photos, tmp_path, copy):
    out = tmp_path / "splits"
    options = ["--copy"] if copy else []
    split.main([str(photos), str(out), "--shares", "train=0.5,val=0.5", *options])
    found = {p.name: p.read() for p in find_photos(photos)}

    def lying():
        return {p.name: p.read() for p in find_photos(out)}

    assert {name.partition("/")[2]: data for name, data in lying().items()} == found
    assert (next((out / "val").rglob("*.jpg")).is_symlink()) is not copy
    before = set(lying())
    split.main([str(photos), str(out), "--shares", "train=0.5,val=0.5", *options])
    assert set(lying()) == before
    (out / "train/mine.jpg").write_bytes(b"mine")
    split.main([str(photos), str(out), "--shares", "train=1", *options])
    assert set(lying()) == {f"train/{name}" for name in found} | {"train/mine.jpg"}


def test_split_overwrites_nothing(photos, tmp_path, capsys):
    mine = tmp_path / "splits/train/a/0.jpg"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    sentence(split.main, [str(photos), str(tmp_path / "splits"), "--shares", "train=1"])
    assert mine.read_bytes() == b"mine" and "remove it" in capsys.readouterr().err


def test_photos_of_an_archive_are_copied(photos, tmp_path):
    with tarfile.open(tmp_path / "photos.tar", "w") as tar:
        tar.add(photos, "all")
    split.main([str(tmp_path / "photos.tar"), str(tmp_path / "splits"), "--as", "dropout_cnn"])
    copies = [path for path in (tmp_path / "splits").rglob("*.jpg") if not path.is_symlink()]
    assert len(copies) == 12


def test_color_unet_makes_five_squares():
    rgb = np.asarray(photo(1, 160, 100))
    first, second, flipped, noisy, middle = augment.color_unet(rgb, np.random.default_rng(0))
    assert np.array_equal(middle, rgb[:, 30:130])

    def places(square):
        return [left for left in range(61) if np.array_equal(rgb[:, left : left + 100], square)]

    assert len(places(first)) == len(places(second)) == len(places(flipped[:, ::-1])) == 1
    assert places(first) != places(second)
    noises = [noisy - rgb[:, left : left + 100].astype(float) for left in range(61)]
    assert min(noise.std() for noise in noises) == pytest.approx(augment.NOISE, rel=0.1)


def test_colornet_makes_ten_variants_without_corners():
    rgb = np.full((80, 120, 3), 200, "uint8")
    variants = augment.colornet(rgb, np.random.default_rng(0))
    assert len(variants) == 10
    assert all(np.array_equal(variant, rgb) for variant in variants), "something from outside of the photo came in"
    rgb = np.asarray(photo(1, 120, 80))
    variants = augment.colornet(rgb, np.random.default_rng(0))
    assert len({variant.tobytes() for variant in variants}) == 10
    means = np.array([variant.mean((0, 1)) for variant in variants])
    assert np.abs(means - rgb.mean((0, 1))).max() < 30, "the colours are to stay"


def test_a_turned_photo_loses_no_more_than_it_has_to():
    assert augment.largest_part((100, 60), 0) == 1
    assert augment.largest_part((50, 50), 45) == pytest.approx(1 / np.sqrt(2))


@pytest.mark.parametrize(("kind", "number", "names"), [("color_unet", 60, {"a", "b"}), ("colornet", 120, {"a", "b"})])
def test_augment_goes_on_where_it_stopped(photos, tmp_path, capsys, kind, number, names):
    out = tmp_path / "out"
    augment.main([kind, str(photos), str(out)])
    files = {path: path.read_bytes() for path in out.rglob("*.jpg")}
    assert len(files) == number and {path.parent.name for path in files} == names
    for path in list(files)[:3]:
        path.unlink()
    kept = {path: path.stat().st_mtime_ns for path in out.rglob("*.jpg")}
    augment.main([kind, str(photos), str(out)])
    assert {path: path.read_bytes() for path in out.rglob("*.jpg")} == files
    # Only the variants of the photos that miss some are made again.
    rewritten = [path for path, when in kept.items() if path.stat().st_mtime_ns != when]
    assert len(rewritten) <= 3 * (number // 12 - 1)
    sentence(augment.main, [kind, str(photos), str(out), "--seed", "1"])
    assert "differing in seed" in capsys.readouterr().err


def test_photos_in_no_folder_are_a_class_of_their_own(tmp_path, capsys):
    (tmp_path / "faces").mkdir()
    (tmp_path / "faces/1.jpg").write_bytes(jpeg(photo(1)))
    (tmp_path / "faces/2.jpg").write_bytes(b"no photo")
    augment.main(["colornet", str(tmp_path / "faces"), str(tmp_path / "out")])
    assert len(list((tmp_path / "out/faces").glob("1_0?.jpg"))) == 10
    assert "left out 2.jpg" in capsys.readouterr().out


def test_color_unets_short_side_is_256(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/1.png").write_bytes(jpeg(photo(1, 400, 300)))
    augment.main(["color_unet", str(tmp_path / "photos"), str(tmp_path / "out")])
    assert {Image.open(path).size for path in (tmp_path / "out").glob("1_png_*.jpg")} == {(256, 256)}


def one_colored(folder):
    """Three red pictures, two blue ones, and one that cannot be read."""
    folder.mkdir()
    for i, color in enumerate(["red", "red", "red", "blue", "blue"]):
        Image.new("RGB", (70, 64), color).save(folder / f"{i}.png")
    (folder / "5.png").write_bytes(b"no photo")


def test_clusters_are_of_like_colors(tmp_path):
    one_colored(tmp_path / "photos")
    result = clusters.cluster_photos(find_photos(tmp_path / "photos"), tmp_path / "out", 2, progress=False)
    assert result == {"photos": 5, "unreadable": 1, "cluster_sizes": [3, 2]}
    rows = csv.DictReader((tmp_path / "out/clusters.csv").open())
    assert [row["cluster"] for row in rows] == ["0", "0", "0", "1", "1", ""]
    assert Image.open(tmp_path / "out/clusters.png").size > (300, 300)
    counted = clusters.histograms(find_photos(tmp_path / "photos"), tmp_path / "out/histograms.f32", progress=False)
    assert counted.max(axis=1).tolist() == [1, 1, 1, 1, 1, 0]


def test_histograms_are_counted_once(tmp_path):
    one_colored(tmp_path / "photos")
    found = find_photos(tmp_path / "photos")
    whole = clusters.histograms(found, tmp_path / "h.f32", progress=False)
    kept = (tmp_path / "h.f32").read_bytes()
    (tmp_path / "h.f32").write_bytes(kept[: 448 * 2 + 100])
    again = [Counted(file) for file in found]
    assert np.array_equal(clusters.histograms(again, tmp_path / "h.f32", progress=False), whole)
    assert [file.reads for file in again] == [0, 0, 1, 1, 1, 1]
    with pytest.raises(ValueError, match="other settings"):
        clusters.histograms(found[:3], tmp_path / "h.f32", progress=False)
    with pytest.raises(ValueError, match="cannot make 9"):
        clusters.cluster(whole[:5], 9)


def test_embeddings_are_kept_where_training_looks_for_them(photos, tmp_path, monkeypatch):
    from rainbownet import embedding
    from rainbownet.data import embeddings
    from tests.test_embedding import FakeEmbedder

    embedder = FakeEmbedder()
    monkeypatch.setattr(embedding, "get", lambda name: embedder)
    embed.main([str(photos), "--out", str(tmp_path / "vectors.npy")])
    vectors = np.load(tmp_path / "vectors.npy")
    assert vectors.shape == (12, 3) and embedder.calls == 12
    assert (tmp_path / "vectors.txt").read_text().splitlines() == [found.name for found in find_photos(photos)]
    assert (photos / ".rainbownet").is_dir()
    assert embeddings.embeddings_folder(photos, tmp_path) == photos / ".rainbownet"
    assert embeddings.embeddings_folder(photos / "a/0.jpg", tmp_path) == photos / "a/.rainbownet"
    again = embeddings.embed_photos(find_photos(photos), embedder, photos / ".rainbownet", progress=False)
    assert np.array_equal(again, vectors) and embedder.calls == 12
