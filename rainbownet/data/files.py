"""Finds photos in folders and archives, and writes files whole."""

import atexit
import contextlib
import errno
import gzip
import os
import secrets
import shutil
import tarfile
import tempfile
import warnings
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif", ".heic", ".heif"}
)
"""Endings of the names that are taken for photos, in lower case."""

ARCHIVE_SUFFIXES = (".tar", ".tar.gz", ".tgz")
"""Endings of the names that are taken for archives of photos, in lower case."""

NAME_ENCODING = {"encoding": "utf-8", "errors": "surrogateescape"}
"""Of text files that hold names of photos: a name that is no Unicode is written as the bytes that it is."""

_GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class PhotoFile:
    """A photo on disk: a file of its own or a member of an uncompressed tar archive.

    Args:
        path: the file, or the archive that holds the photo.
        member: name of the member in the archive, `None` for a file of its own.
        offset: where the photo begins in `path`, in bytes.
        size: length of the photo in bytes.
        name: POSIX-style path relative to the folder (or archive) that was searched. It is unique in one search and
            safe to join to an output folder: never absolute, without "..".
    """

    path: Path
    member: str | None
    offset: int
    size: int
    name: str

    def read(self) -> bytes:
        """Gives the bytes of the file that the photo is."""
        with open(self.path, "rb") as file:
            if self.member is None:
                return file.read()
            file.seek(self.offset)
            return file.read(self.size)


def find_photos(root: str | Path) -> list[PhotoFile]:
    """Lists the photos of a folder, of an archive, or the one photo that is named.

    A folder is searched with all folders in it and with the archives in it, whose members are named
    `archive.tar/member.jpg`. Hidden files and folders (names that begin with a dot) and files of other kinds are passed
    over. Symbolic links are followed, each folder once, so loops end. A gzipped tar is unpacked once into a temporary
    file, removed when the process ends, so that its members can be read at random in little memory.

    Args:
        root: folder, photo, or archive (`.tar`, `.tar.gz`, `.tgz`).

    Returns:
        The photos, sorted by name. What could not be opened while searching is told in one `UserWarning`.

    Raises:
        FileNotFoundError: if there is no such path.
        ValueError: if no photo is found there.
    """
    root = Path(root)
    if not root.exists():
        raise FileNotFoundError(f"{root} does not exist; name a folder of photos, a photo or a .tar archive of photos.")
    problems: list[str] = []
    if root.is_dir():
        photos = _search_folder(root, problems)
    elif _is_archive(root.name):
        photos = _search_archive(root, "", problems)
    elif _is_photo(root.name):
        photos = [PhotoFile(root, None, 0, root.stat().st_size, root.name)]
    else:
        raise ValueError(
            f"{root} is neither a photo nor an archive of photos by its name; expected a name that ends in "
            f"{', '.join(sorted(SUFFIXES))} or {', '.join(ARCHIVE_SUFFIXES)}."
        )
    if not photos:
        seen = f" ({'; '.join(problems)})" if problems else ""
        raise ValueError(
            f"no photo was found in {root}{seen}; expected files that end in {', '.join(sorted(SUFFIXES))}, "
            f"or archives of them ({', '.join(ARCHIVE_SUFFIXES)})."
        )
    if problems:
        warnings.warn(f"not all of {root} could be searched: {'; '.join(problems)}", stacklevel=2)
    return sorted({photo.name: photo for photo in photos}.values(), key=lambda photo: photo.name)


@contextlib.contextmanager
def write_atomically(path: str | Path) -> Iterator[Path]:
    """Writes a file whole or not at all: to a temporary name beside it, renamed at the end.

    Folders that are missing are made. If the body of the `with` fails, or is interrupted, the temporary file is removed
    and a file that stood at `path` before stays as it was.

    Args:
        path: file to write.

    Yields:
        The temporary path (an empty file with the same suffix) that the body writes to.

    Raises:
        ValueError: if the folder cannot be made or written to, if `path` is no file, or if the disk is full.
    """
    path = Path(os.path.realpath(path))  # the file behind a symbolic link is replaced, not the link
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} cannot be written, since it exists and is no file; choose another name.")
    # The dot keeps an unfinished file out of `find_photos`; the stem is cut since names are limited to 255 bytes.
    temporary = path.with_name(f".{path.stem[:40]}.{secrets.token_hex(6)}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch(exist_ok=False)
    except OSError as error:
        raise ValueError(
            f"{path} cannot be written ({error.strerror}: {error.filename}); choose a folder that can be written to."
        ) from error
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise ValueError(f"{path} cannot be written ({error.strerror}); choose another disk.") from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _is_photo(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in SUFFIXES and not name.startswith(".")


def _is_archive(name: str) -> bool:
    return name.lower().endswith(ARCHIVE_SUFFIXES) and not name.startswith(".")


def _search_folder(root: Path, problems: list[str]) -> list[PhotoFile]:
    """Photos under `root`; sentences about what could not be read are added to `problems`."""
    photos: list[PhotoFile] = []
    true_root = os.path.realpath(root)
    visited = {true_root}
    folders = deque([(true_root, "")])
    links: deque[tuple[str, str]] = deque()
    while folders or links:
        # Linked folders come last, so that a photo keeps the name under its own folder when a link to it is added.
        if folders:
            folder, prefix = folders.popleft()
        else:
            folder, prefix = links.popleft()
            # A link to a folder seen before, or up to one that holds the root, would lead round in a circle.
            if folder in visited or os.path.commonpath([folder, true_root]) == folder:
                continue
            visited.add(folder)
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            problems.append(f"the folder {prefix or root} cannot be read, {error.strerror}")
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            name = prefix + entry.name
            try:
                if entry.is_dir():
                    true_path = os.path.realpath(entry.path)
                    if entry.is_symlink():
                        links.append((true_path, name + "/"))
                    elif true_path not in visited:
                        visited.add(true_path)
                        folders.append((true_path, name + "/"))
                elif not entry.is_file():
                    if _is_photo(entry.name):
                        problems.append(f"{name} is no file")  # a broken link, a socket
                elif _is_photo(entry.name):
                    photos.append(PhotoFile(Path(entry.path), None, 0, entry.stat().st_size, name))
                elif _is_archive(entry.name):
                    photos.extend(_search_archive(Path(entry.path), name + "/", problems))
            except OSError as error:
                if error.errno != errno.ELOOP:  # a link to itself
                    problems.append(f"{name} cannot be read, {error.strerror}")
    return photos


def _search_archive(path: Path, prefix: str, problems: list[str]) -> list[PhotoFile]:
    """Photos in the archive `path`, their names beginning with `prefix`."""
    photos: dict[str, PhotoFile] = {}
    places: dict[str, tuple[int, int]] = {}
    try:
        plain = _unpacked(path)
        with open(plain, "rb") as file, tarfile.open(fileobj=file, mode="r:") as archive:
            length = file.seek(0, os.SEEK_END)
            while (member := archive.next()) is not None:
                archive.members = []  # otherwise tarfile keeps every header: memory would grow with the archive
                # A link comes after the member that it repeats.
                place = places.get(member.linkname) if member.islnk() else (member.offset_data, member.size)
                name = _safe_name(member.name)
                if place is None or not (member.isreg() or member.islnk()) or member.issparse() or not name:
                    continue
                if sum(place) > length:
                    raise EOFError(f"it ends within {member.name}")
                places[member.name] = place
                # A later member of the same name replaces an earlier one, as in unpacking.
                photos[name] = PhotoFile(plain, member.name, *place, prefix + name)
            # Where no header follows, tarfile takes anything but zeros for the end too.
            file.seek(archive.offset)
            if file.read(tarfile.BLOCKSIZE).strip(b"\0"):
                raise EOFError(f"it holds something else after {len(places)} members")
    except (tarfile.TarError, EOFError, OSError) as error:
        problems.append(f"the archive {path} is damaged, no tar archive, or cannot be read: {error}")
    return list(photos.values())


def _safe_name(member: str) -> str:
    """Name of an archive's member as a relative path, empty where it is hidden or no photo."""
    parts = [part for part in PurePosixPath(member).parts if part not in ("/", "//", "..")]
    hidden = any(part.startswith(".") for part in parts)
    return "" if hidden or not parts or not _is_photo(parts[-1]) else "/".join(parts)


def _unpacked(path: Path) -> Path:
    """The archive itself, or the temporary file that a compressed one was unpacked into."""
    with open(path, "rb") as file:
        if file.read(2) != _GZIP_MAGIC:
            return path
    handle, plain = tempfile.mkstemp(prefix="rainbownet-", suffix=".tar")
    atexit.register(Path(plain).unlink, missing_ok=True)
    with gzip.open(path) as packed, os.fdopen(handle, "wb") as unpacked:
        shutil.copyfileobj(packed, unpacked, 1 << 20)
    return Path(plain)
