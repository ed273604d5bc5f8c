"""Photos in git repositories, read without a work tree: a bare clone is enough, and any commit that it holds."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from rainbownet.data.files import SUFFIXES


@dataclass(frozen=True)
class GitPhoto:
    """A photo in a commit.

    Args:
        repository: the `GitRepository`.
        name: path of the photo in the commit.
        blob: the object that it is, in hexadecimal.
    """

    repository: "GitRepository"
    name: str
    blob: str

    def read(self):
        """Gives the bytes of the file that the photo is."""
        return self.repository.read(self.blob)


class GitRepository:
    """A git repository, to be used in a `with`; one `git cat-file --batch` reads all of its photos.

    Args:
        folder: the git directory, or a folder with `.git` in it.

    Raises:
        ValueError: it is no git repository.
    """

    def __init__(self, folder):
        self.folder = git_directory(folder)
        if self.folder is None:
            raise ValueError(f"{folder} is no git repository; expected a bare clone, or a folder with .git in it.")
        self._reader = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._reader is not None:
            self._reader.stdin.close()
            self._reader.stdout.close()
            self._reader.wait()

    def photos(self, commit="HEAD", match=None):
        """Lists the photos of a commit.

        Args:
            commit: anything that git understands as one.
            match: regular expression that is looked for in the path; all names that end as photos do by default.

        Returns:
            List of `GitPhoto`, sorted by name.

        Raises:
            ValueError: there is no such commit, or no such photo in it.
        """
        listing = self._git("ls-tree", "-r", "-z", "--full-tree", commit)
        if listing.returncode:
            problem = " ".join(listing.stderr.decode("utf-8", "replace").split())
            raise ValueError(f"{self.folder} has no commit {commit} ({problem}); fetch it, or name another.")
        photos = []
        for entry in listing.stdout.decode("utf-8", "surrogateescape").split("\0"):
            about, _, name = entry.partition("\t")
            if name and (re.search(match, name) if match else Path(name).suffix.lower() in SUFFIXES):
                mode, kind, blob = about.split()
                if kind == "blob" and mode != "120000":  # the blob of a symbolic link is the path it leads to
                    photos.append(GitPhoto(self, name, blob))
        if not photos:
            raise ValueError(f"{commit} in {self.folder} has no photo that matches {match}; give another pattern.")
        return sorted(photos, key=lambda photo: photo.name)

    def read(self, blob):
        """Gives the bytes of a blob.

        Args:
            blob: its name in hexadecimal.

        Raises:
            OSError: the repository lacks it.
        """
        if self._reader is None:
            command = ["git", f"--git-dir={self.folder}", "cat-file", "--batch"]
            self._reader = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._reader.stdin.write(f"{blob}\n".encode())
        self._reader.stdin.flush()
        header = self._reader.stdout.readline().split()
        if len(header) != 3:
            raise OSError(f"{self.folder} lacks the object {blob}")
        return self._reader.stdout.read(int(header[2]) + 1)[:-1]

    def _git(self, *arguments):
        return subprocess.run(["git", f"--git-dir={self.folder}", *arguments], capture_output=True)


def git_directory(folder):
    """Finds the git directory that a folder is, or has in it.

    Args:
        folder: any path.

    Returns:
        A path, or `None` where there is none.
    """
    for candidate in (Path(folder), Path(folder) / ".git"):
        if (candidate / "HEAD").is_file() and (candidate / "objects").is_dir():
            return candidate
    return None
