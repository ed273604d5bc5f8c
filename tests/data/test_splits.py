from pathlib import Path

import pytest

from rainbownet.data.files import PhotoFile
from rainbownet.data.splits import split, split_of

NAMES = [f"album {i % 7}/photo_{i}.jpg" for i in range(4000)]


def test_shares_are_met():
    in_val = sum(split_of(name) == "val" for name in NAMES)
    assert 340 <= in_val <= 460  # 400 expected; three standard deviations are 57


def test_a_name_always_falls_into_the_same_split():
    # Values once computed; another result would move the photos of everybody's earlier runs.
    names = ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg", "f.jpg", "g.jpg", "h.jpg"]
    halves = {"train": 0.5, "val": 0.5}
    assert [split_of(name, halves) for name in names] == ["train", "val", "val", "train", "train", "val", "val", "val"]


def test_folders_count_as_part_of_the_name():
    halves = {"train": 0.5, "val": 0.5}
    assert len({split_of(f"{folder}/photo.jpg", halves) for folder in range(20)}) == 2


def test_another_seed_gives_another_split():
    assert [split_of(name) for name in NAMES[:200]] != [split_of(name, seed=1) for name in NAMES[:200]]


def test_other_shares_move_no_more_photos_than_they_have_to():
    before = {name for name in NAMES if split_of(name) == "val"}
    after = {name for name in NAMES if split_of(name, {"train": 0.8, "val": 0.2}) == "val"}
    assert before < after


def test_a_new_photo_moves_no_other():
    photos = [PhotoFile(Path(name), None, 0, 1, name) for name in NAMES]
    few, all_of_them = split(photos[::2]), split(photos)
    for name, members in few.items():
        assert set(members) <= set(all_of_them[name])
    assert sum(map(len, all_of_them.values())) == len(photos)
    assert list(all_of_them) == ["train", "val"]


def test_both_spellings_of_an_accent_are_one_name():
    halves = {"train": 0.5, "val": 0.5}
    for i in range(20):
        assert split_of(f"{i} caf\u00e9.jpg", halves) == split_of(f"{i} cafe\u0301.jpg", halves)


def test_names_that_are_no_unicode_are_split_too():
    assert split_of("caf\udce9.jpg") in ("train", "val")


def test_a_split_without_a_share_gets_nothing():
    assert {split_of(name, {"none": 0.0, "all": 1.0, "last": 0.0}) for name in NAMES[:100]} == {"all"}


@pytest.mark.parametrize("shares", [{}, {"train": 0.9}, {"train": 1.2, "val": -0.2}])
def test_wrong_shares_are_refused(shares):
    with pytest.raises(ValueError, match="add up to 1"):
        split_of("a.jpg", shares)
