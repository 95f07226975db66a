"""Saves that fail leave the old file as it was, and nothing beside it."""

import errno
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import cornu
from cornu import saving

fcntl, resource = pytest.importorskip("fcntl"), pytest.importorskip("resource")  # where there are none, nothing is locked
HERE = pathlib.Path(__file__).parent


def model(value=1.0, units=300):
    made = cornu.Sequential([cornu.Input((300,)), cornu.layers.Dense(units)])
    made.set_weights([np.full((300, units), value), np.zeros(units)])
    return made


def save(made, path):
    made.save(path) if path.suffix == ".keras" else made.save_weights(path)


def value_in(path):
    other = model(0.0)
    other.load_weights(path)
    return other.get_weights()[0][0, 0]


@pytest.fixture(params=["m.keras", "m.weights.h5"])
def old(request, tmp_path):
    path = tmp_path / request.param
    save(model(), path)
    return path


class NoSpace:
    """A file on a disk that is full after some bytes."""

    def __init__(self, file, left):
        self.file, self.left = file, left

    def write(self, data):
        self.left -= memoryview(data).nbytes
        if self.left < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self.file.write(data)

    def __getattr__(self, name):
        return getattr(self.file, name)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return self.file.__exit__(*error)


@pytest.mark.parametrize("left", [0, 100, 5_000, 200_000])
def test_a_full_disk(old, left, monkeypatch):
    before = old.read_bytes()
    monkeypatch.setattr("cornu.files.open", lambda *a, **k: NoSpace(open(*a, **k), left), raising=False)
    with pytest.raises(OSError, match="No space"):
        save(model(2.0), old)
    assert old.read_bytes() == before and os.listdir(old.parent) == [old.name]


def test_the_system_refuses_to_write_more(old):
    before, limits = old.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OSError):
            save(model(2.0), old)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert old.read_bytes() == before and os.listdir(old.parent) == [old.name]


@pytest.mark.parametrize("call", ["os.fsync", "os.link", "os.replace"])
@pytest.mark.parametrize("error", [OSError(errno.EIO, "no"), PermissionError("no"), KeyboardInterrupt()], ids=repr)
def test_an_error_at_the_end(old, call, error, monkeypatch):
    before = old.read_bytes()

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(call, fail)
    with pytest.raises(type(error)):
        save(model(2.0), old)
    monkeypatch.undo()
    assert old.read_bytes() == before and os.listdir(old.parent) == [old.name]


def test_without_nameless_files(old, monkeypatch):
    monkeypatch.delattr(os, "O_TMPFILE")
    save(model(2.0), old)
    assert value_in(old) == 2 and os.listdir(old.parent) == [old.name]
    test_a_full_disk(old, 5_000, monkeypatch)


def test_what_a_killed_process_left_goes_with_the_next_save(old):
    left = [old.with_name(f".{old.name}-{digits}") for digits in ("0123abcd", "deadbeef")]
    for path in left:
        path.write_bytes(b"half")
    with open(left[1], "rb") as living:
        fcntl.flock(living, fcntl.LOCK_EX)
        save(model(2.0), old)
    assert not left[0].exists() and left[1].exists()


def test_links_and_modes_stay(old):
    link = old.with_name("link" + "".join(old.suffixes))
    link.symlink_to(old.name)
    os.chmod(old, 0o640)
    save(model(2.0), link)
    assert link.is_symlink() and value_in(old) == 2 and old.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("where", [0.1, 0.5, 0.95])
@pytest.mark.parametrize("damage", ["bit", "cut"])
def test_a_damaged_file_is_said_to_be_so(old, where, damage):
    data, made = bytearray(old.read_bytes()), model(3.0)
    at = int(len(data) * where)
    data[at] ^= 16
    old.write_bytes(data if damage == "bit" else data[:at])
    with pytest.raises(saving.FileError, match="damaged|cut short"):
        made.load_weights(old)
    assert (made.get_weights()[0] == 3).all()


def kills(folder, count) -> set:
    """Kill processes while they save; the models that were found in the files, by their number of units."""
    rng, found, early = random.Random(0), set(), 0
    env = {**os.environ, "PYTHONPATH": str(HERE.parent / "src"), "JAX_PLATFORMS": "cpu"}
    with subprocess.Popen([sys.executable, str(HERE / "killed.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env,
                          text=True, bufsize=1) as server:
        for number in range(count):
            path = folder / str(number) / "m.keras"
            path.parent.mkdir()
            server.stdin.write(f"{path}\n")
            for _ in range(rng.randrange(1, 4)):
                child = int(server.stdout.readline())
            time.sleep(rng.random() * 0.03)
            os.kill(child, signal.SIGKILL)
            while server.stdout.readline() != "dead\n":
                pass
            early += os.listdir(path.parent) != [path.name]
            found.add(saving.load_model(path).layers[-1].units)
            save(model(), path)
            assert os.listdir(path.parent) == [path.name]
        server.stdin.close()
    assert early <= 1 + count // 50  # a kill between the file's getting a name and that name's being replaced
    return found


def test_kills(tmp_path):
    assert kills(tmp_path, 10) <= {1000, 1400}


@pytest.mark.long
def test_200_kills(tmp_path):
    assert kills(tmp_path, 200) == {1000, 1400}
