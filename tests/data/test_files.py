import errno
import io
import os
import socket
import tarfile
import warnings
from pathlib import Path

import pytest

from rainbownet.data.files import find_photos, write_atomically


@pytest.fixture(autouse=True)
def strict():
    """Warnings are failures here, unless a test expects one."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def put(path, content=b"photo"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def names(root):
    return [photo.name for photo in find_photos(root)]


def make_tar(path, members, mode="w"):
    """Writes an archive of (name, content) pairs; content None gives a folder, "=name" a hard link, "@name" a link."""
    with tarfile.open(path, mode) as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            if content is None:
                member.type = tarfile.DIRTYPE
            elif isinstance(content, str):
                member.type = tarfile.LNKTYPE if content[0] == "=" else tarfile.SYMTYPE
                member.linkname = content[1:]
            else:
                member.size = len(content)
            archive.addfile(member, io.BytesIO(content) if isinstance(content, bytes) else None)
    return path


class TestFolders:
    def test_all_photos_below_are_found_in_the_order_of_their_names(self, tmp_path):
        there = ["A.heic", "a b/\u00fcn\u00ef \u0444\u043e\u0442\u043e.tiff", "a/deep/er/x.webp", "a/z.png", "b.JPG"]
        for name in there[::-1]:
            put(tmp_path / name)
        assert names(tmp_path) == there

    def test_other_files_and_hidden_ones_are_passed_over(self, tmp_path):
        for name in ("a.jpg", "notes.txt", "jpg", "._a.jpg", ".cache/b.jpg", "a.jpg.part"):
            put(tmp_path / name)
        assert names(tmp_path) == ["a.jpg"]

    def test_a_photo_is_read_whole(self, tmp_path):
        put(tmp_path / "a.jpg", b"content")
        (photo,) = find_photos(tmp_path)
        assert (photo.read(), photo.size, photo.member) == (b"content", 7, None)

    def test_a_hidden_root_is_searched(self, tmp_path):
        put(tmp_path / ".photos" / "a.jpg")
        assert names(tmp_path / ".photos") == ["a.jpg"]

    def test_names_that_are_no_unicode_are_found(self, tmp_path):
        try:
            Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jpg")).write_bytes(b"photo")
        except OSError:
            pytest.skip("this file system takes Unicode names only")
        (photo,) = find_photos(tmp_path)
        assert os.fsencode(photo.name) == b"caf\xe9.jpg"
        assert photo.read() == b"photo"

    def test_very_deep_folders_are_searched(self, tmp_path):
        folder = tmp_path.joinpath(*"d" * 300)
        put(folder / "a.jpg")
        assert names(tmp_path) == ["d/" * 300 + "a.jpg"]

    def test_links_that_lead_round_in_a_circle_end(self, tmp_path):
        put(tmp_path / "photos" / "sub" / "a.jpg")
        (tmp_path / "photos" / "sub" / "up").symlink_to(tmp_path / "photos")
        (tmp_path / "photos" / "sub" / "self").symlink_to("self")
        (tmp_path / "photos" / "out").symlink_to(tmp_path)
        assert names(tmp_path / "photos") == ["sub/a.jpg"]

    def test_two_folders_that_link_to_each_other_are_searched_once(self, tmp_path):
        put(tmp_path / "root" / "a.jpg")
        put(tmp_path / "x" / "x.jpg")
        put(tmp_path / "y" / "y.jpg")
        (tmp_path / "x" / "y").symlink_to(tmp_path / "y")
        (tmp_path / "y" / "x").symlink_to(tmp_path / "x")
        (tmp_path / "root" / "link").symlink_to(tmp_path / "x")
        assert names(tmp_path / "root") == ["a.jpg", "link/x.jpg", "link/y/y.jpg"]

    def test_a_link_to_a_folder_of_its_own_changes_no_name(self, tmp_path):
        put(tmp_path / "zoo" / "a.jpg")
        (tmp_path / "alias").symlink_to(tmp_path / "zoo")
        assert names(tmp_path) == ["zoo/a.jpg"]

    def test_links_to_photos_are_followed(self, tmp_path):
        put(tmp_path / "elsewhere" / "a.jpg")
        (tmp_path / "photos").mkdir()
        (tmp_path / "photos" / "b.jpg").symlink_to(tmp_path / "elsewhere" / "a.jpg")
        (photo,) = find_photos(tmp_path / "photos")
        assert (photo.name, photo.read()) == ("b.jpg", b"photo")

    def test_what_is_no_file_is_told_and_passed_over(self, tmp_path):
        put(tmp_path / "a.jpg")
        (tmp_path / "broken.jpg").symlink_to(tmp_path / "nothing.jpg")
        with pytest.warns(UserWarning, match="broken.jpg is no file"):
            assert names(tmp_path) == ["a.jpg"]

    def test_sockets_do_not_hang_the_search(self, tmp_path, monkeypatch):
        put(tmp_path / "a.jpg")
        monkeypatch.chdir(tmp_path)  # the path of a socket may not be long
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("s.jpg")
            with pytest.warns(UserWarning, match="s.jpg is no file"):
                assert names(tmp_path) == ["a.jpg"]

    def test_unreadable_folders_are_told_and_passed_over(self, tmp_path, monkeypatch):
        put(tmp_path / "a.jpg")
        put(tmp_path / "locked" / "b.jpg")
        scandir = os.scandir

        def refuse(folder):
            if os.fspath(folder).endswith("locked"):
                raise PermissionError(errno.EACCES, "Permission denied", folder)
            return scandir(folder)

        monkeypatch.setattr(os, "scandir", refuse)
        with pytest.warns(UserWarning, match="locked.* cannot be read, Permission denied"):
            assert names(tmp_path) == ["a.jpg"]

    def test_an_empty_folder_is_an_error(self, tmp_path):
        with pytest.raises(ValueError, match=r"no photo was found in .*; expected files that end in .*\.jpg"):
            find_photos(tmp_path)

    def test_a_folder_of_other_files_is_an_error(self, tmp_path):
        put(tmp_path / "notes.txt")
        with pytest.raises(ValueError, match="no photo was found"):
            find_photos(tmp_path)

    def test_a_path_that_does_not_exist_is_an_error(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="does not exist; name a folder of photos"):
            find_photos(tmp_path / "nothing")


class TestSinglePhotos:
    def test_one_photo_can_be_named(self, tmp_path):
        put(tmp_path / "a b.jpg")
        assert names(str(tmp_path / "a b.jpg")) == ["a b.jpg"]

    def test_a_file_of_another_kind_is_an_error(self, tmp_path):
        with pytest.raises(ValueError, match=r"neither a photo nor an archive.*\.tar"):
            find_photos(put(tmp_path / "notes.txt"))


class TestArchives:
    MEMBERS = [("sub", None), ("sub/b.jpg", b"second"), ("./a.jpg", b"first"), ("readme.txt", b"text")]

    @pytest.mark.parametrize("name", ["plain.tar", "packed.tar.gz", "PACKED.TGZ", "packed.tar"])
    def test_members_are_photos(self, tmp_path, name):
        mode = "w" if name.startswith("plain") else "w:gz"
        photos = find_photos(make_tar(tmp_path / name, self.MEMBERS, mode))
        assert [(photo.name, photo.read()) for photo in photos] == [("a.jpg", b"first"), ("sub/b.jpg", b"second")]
        assert photos[0].member == "./a.jpg"

    def test_archives_in_a_folder_are_searched(self, tmp_path):
        put(tmp_path / "c.jpg")
        (tmp_path / "more").mkdir()
        make_tar(tmp_path / "more" / "p.tar", self.MEMBERS)
        assert names(tmp_path) == ["c.jpg", "more/p.tar/a.jpg", "more/p.tar/sub/b.jpg"]

    def test_a_compressed_archive_is_unpacked_beside_no_photo(self, tmp_path):
        find_photos(make_tar(tmp_path / "p.tgz", self.MEMBERS, "w:gz"))
        assert [path.name for path in tmp_path.iterdir()] == ["p.tgz"]

    def test_names_cannot_lead_out_of_an_output_folder(self, tmp_path):
        members = [("../../up.jpg", b"1"), ("/root.jpg", b"2"), ("a/../b.jpg", b"3")]
        assert names(make_tar(tmp_path / "p.tar", members)) == ["a/b.jpg", "root.jpg", "up.jpg"]

    def test_hidden_members_are_passed_over(self, tmp_path):
        members = [("a.jpg", b"1"), ("._a.jpg", b"2"), (".hidden/b.jpg", b"3")]
        assert names(make_tar(tmp_path / "p.tar", members)) == ["a.jpg"]

    def test_of_members_with_one_name_the_last_counts(self, tmp_path):
        (photo,) = find_photos(make_tar(tmp_path / "p.tar", [("a.jpg", b"old"), ("a.jpg", b"new")]))
        assert photo.read() == b"new"

    def test_hard_links_have_the_content_they_link_to(self, tmp_path):
        members = [("a.jpg", b"content"), ("b.jpg", "=a.jpg"), ("c.jpg", "=missing.jpg"), ("d.jpg", "@a.jpg")]
        photos = find_photos(make_tar(tmp_path / "p.tar", members))
        assert [(photo.name, photo.read()) for photo in photos] == [("a.jpg", b"content"), ("b.jpg", b"content")]

    def test_long_names_are_whole(self, tmp_path):
        name = "folder/" * 40 + "photo.jpg"
        assert names(make_tar(tmp_path / "p.tar", [(name, b"1")])) == [name]

    @pytest.mark.parametrize("cut", [1536 + 512 + 300, 1536 + 512, 1536 + 100])
    def test_a_cut_off_archive_gives_what_it_holds_and_tells(self, tmp_path, cut):
        # Each member takes 512 bytes of header and 1024 of content.
        path = make_tar(tmp_path / "p.tar", [("a.jpg", b"1" * 600), ("b.jpg", b"2" * 600)])
        path.write_bytes(path.read_bytes()[:cut])
        with pytest.warns(UserWarning, match="is damaged"):
            assert names(path) == ["a.jpg"]

    def test_rubbish_in_an_archive_is_told(self, tmp_path):
        path = make_tar(tmp_path / "p.tar", [("a.jpg", b"1" * 600), ("b.jpg", b"2" * 600)])
        content = bytearray(path.read_bytes())
        content[1536 : 1536 + 512] = b"rubbish " * 64
        path.write_bytes(content)
        with pytest.warns(UserWarning, match="something else after 1 members"):
            assert names(path) == ["a.jpg"]

    def test_a_cut_off_compressed_archive_is_an_error(self, tmp_path):
        path = make_tar(tmp_path / "p.tgz", [("a.jpg", os.urandom(5000))], "w:gz")
        path.write_bytes(path.read_bytes()[:2000])
        with pytest.raises(ValueError, match="no photo was found .*is damaged"):
            find_photos(path)

    def test_what_is_no_archive_is_an_error(self, tmp_path):
        with pytest.raises(ValueError, match="no photo was found .*is damaged, no tar archive"):
            find_photos(put(tmp_path / "p.tar", b"text" * 300))


class TestWriteAtomically:
    def test_the_file_appears_whole(self, tmp_path):
        path = tmp_path / "new" / "folder" / "a.txt"
        with write_atomically(path) as temporary:
            temporary.write_text("whole")
            assert not path.exists()
            assert temporary.parent == path.parent and temporary.suffix == ".txt"
        assert path.read_text() == "whole"
        assert os.listdir(path.parent) == ["a.txt"]

    @pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
    def test_an_interruption_leaves_the_old_file(self, tmp_path, error):
        path = put(tmp_path / "a.txt", b"old")
        with pytest.raises(error), write_atomically(path) as temporary:
            temporary.write_text("half")
            raise error
        assert path.read_bytes() == b"old"
        assert os.listdir(tmp_path) == ["a.txt"]

    def test_a_full_disk_leaves_the_old_file_and_says_so(self, tmp_path):
        path = put(tmp_path / "a.txt", b"old")
        with pytest.raises(ValueError, match="a.txt cannot be written .*No space"), write_atomically(path):
            raise OSError(errno.ENOSPC, "No space left on device")
        assert path.read_bytes() == b"old"

    def test_unfinished_photos_are_not_found(self, tmp_path):
        put(tmp_path / "a.jpg")
        with write_atomically(tmp_path / "b.jpg") as temporary:
            temporary.write_bytes(b"half")
            assert names(tmp_path) == ["a.jpg"]

    def test_a_file_in_the_place_of_the_folder_is_an_error(self, tmp_path):
        path = put(tmp_path / "out") / "a.jpg"
        with pytest.raises(ValueError, match="cannot be written .*choose a folder"), write_atomically(path):
            pass

    def test_a_read_only_folder_is_an_error(self, tmp_path, monkeypatch):
        path = put(tmp_path / "a.txt", b"old")

        def refuse(self, **_):
            raise PermissionError(errno.EACCES, "Permission denied", str(self))

        monkeypatch.setattr(Path, "touch", refuse)
        with pytest.raises(ValueError, match="cannot be written .Permission denied"), write_atomically(path):
            pass
        assert path.read_bytes() == b"old"

    def test_a_folder_or_device_is_never_replaced(self, tmp_path):
        for path in (tmp_path, Path(os.devnull)):
            with pytest.raises(ValueError, match="exists and is no file"), write_atomically(path):
                pass

    def test_a_link_stays_a_link(self, tmp_path):
        put(tmp_path / "there" / "a.txt")
        (tmp_path / "link.txt").symlink_to(tmp_path / "there" / "a.txt")
        with write_atomically(tmp_path / "link.txt") as temporary:
            temporary.write_text("new")
        assert (tmp_path / "link.txt").is_symlink()
        assert (tmp_path / "there" / "a.txt").read_text() == "new"

    def test_the_longest_names_can_be_written(self, tmp_path):
        path = tmp_path / ("\u00fc" * 125 + ".png")  # 254 bytes; 255 are allowed
        with write_atomically(path) as temporary:
            temporary.write_bytes(b"1")
        assert path.exists()
