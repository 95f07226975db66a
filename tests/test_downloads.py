"""Downloads and `get_file`: right bytes or a clear error, whatever the network does."""

import hashlib
import http.server
import os
import pathlib
import subprocess
import sys
import tarfile
import threading
import zipfile

import numpy as np
import pytest

from cornu.utils import downloads

CONTENT = np.random.default_rng(0).bytes(700_000)
SHA = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT, with ranges; the first `server.breaks` answers stop half-way."""

    def do_GET(self):
        start = int((self.headers.get("Range") or "bytes=0-")[6:-1]) if self.server.ranges else 0
        self.server.starts.append(start)
        if self.path == "/missing" or start >= len(CONTENT):
            return self.send_error(404 if self.path == "/missing" else 416)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        self.server.breaks -= 1
        self.wfile.write(CONTENT[start : start + 100_000] if self.server.breaks >= 0 else CONTENT[start:])

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.starts, server.breaks, server.ranges = [], 0, True
        server.url = f"http://127.0.0.1:{server.server_port}/file.bin"
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


# Downloads -------------------------------------------------------------------------------------------------------


def test_download(server, tmp_path):
    path = downloads.download(server.url, tmp_path / "a" / "file.bin", SHA)
    assert path.read_bytes() == CONTENT
    assert {p.name for p in path.parent.iterdir()} == {"file.bin", ".file.bin.lock"}


def test_download_resumes_where_the_connection_broke(server, tmp_path):
    server.breaks = 2
    assert downloads.download(server.url, tmp_path / "f", SHA).read_bytes() == CONTENT
    assert server.starts == [0, 100_000, 200_000]


def test_download_resumes_in_a_later_process(server, tmp_path):
    (tmp_path / "f.part").write_bytes(CONTENT[:300_000])
    assert downloads.download(server.url, tmp_path / "f", SHA).read_bytes() == CONTENT
    assert server.starts == [300_000]


def test_download_starts_over_where_the_server_has_no_ranges(server, tmp_path):
    server.ranges = False
    (tmp_path / "f.part").write_bytes(CONTENT[:300_000])
    assert downloads.download(server.url, tmp_path / "f", SHA).read_bytes() == CONTENT


@pytest.mark.parametrize("left_over", [b"x" * 300_000, b"x" * 800_000, CONTENT])
def test_download_does_not_build_on_wrong_bytes(server, tmp_path, left_over):
    (tmp_path / "f.part").write_bytes(left_over)
    assert downloads.download(server.url, tmp_path / "f", SHA).read_bytes() == CONTENT


def test_without_a_hash_nothing_is_resumed(server, tmp_path):
    server.breaks = 1
    assert downloads.download(server.url, tmp_path / "f").read_bytes() == CONTENT
    assert server.starts == [0, 0]


def test_wrong_content_is_an_error_and_leaves_nothing(server, tmp_path):
    with pytest.raises(downloads.DownloadError, match="was expected"):
        downloads.download(server.url, tmp_path / "f", "0" * 64)
    assert [p.name for p in tmp_path.iterdir()] == [".f.lock"]


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/f", "file:///nowhere/f", "not an address", "https://x.invalid/f"])
def test_unreachable(url, tmp_path):
    with pytest.raises(downloads.DownloadError, match="Could not fetch"):
        downloads.download(url, tmp_path / "f")


def test_missing_on_the_server(server, tmp_path):
    with pytest.raises(downloads.DownloadError, match="404|Not Found"):
        downloads.download(server.url.replace("file.bin", "missing"), tmp_path / "f")


def test_two_processes_fetch_once(server, tmp_path):
    code = ("import sys, pathlib; from cornu.utils.downloads import download;"
            "download(sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3])")
    command = [sys.executable, "-c", code, server.url, str(tmp_path / "f"), SHA]
    running = [subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}) for _ in range(2)]
    assert [p.wait() for p in running] == [0, 0]
    assert (tmp_path / "f").read_bytes() == CONTENT and server.starts == [0]


# get_file --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    folder = tmp_path_factory.mktemp("archives")
    (folder / "plain.bin").write_bytes(b"0123")
    modes = {"a.tar.gz": "w:gz", "b.tgz": "w:gz", "c.tar": "w:", "d.tar.bz2": "w:bz2", "e.tar.xz": "w:xz"}
    for name, mode in modes.items():
        with tarfile.open(folder / name, mode) as archive:
            archive.add(folder / "plain.bin", "inner/plain.bin")
    with zipfile.ZipFile(folder / "z.zip", "w") as archive:
        archive.write(folder / "plain.bin", "inner/plain.bin")
    return folder


MD5 = hashlib.md5(b"0123").hexdigest()
CASES = [
    ((), "plain.bin", {}), (("other",), "plain.bin", {}), ((), "plain.bin", {"md5_hash": MD5}),
    ((), "plain.bin", {"file_hash": MD5, "hash_algorithm": "md5"}), ((), "plain.bin", {"cache_subdir": "models"}),
    *[((), name, {"extract": True}) for name in ("a.tar.gz", "b.tgz", "c.tar", "d.tar.bz2", "e.tar.xz", "z.zip")],
    (("flowers",), "a.tar.gz", {"untar": True}), (("flowers",), "z.zip", {"extract": True, "archive_format": "zip"}),
    (("f.tar.gz",), "a.tar.gz", {"extract": True, "archive_format": ["zip", "tar"]}),
    *[((name,), name, {"extract": True}) for name in ("a.tar.gz", "b.tgz", "c.tar", "d.tar.bz2", "e.tar.xz", "z.zip")],
]


@pytest.mark.parametrize("args, name, options", CASES)
def test_get_file_gives_the_path_that_keras_gives(homes, archives, args, name, options):
    import keras

    (homes / "theirs").mkdir()
    origin = (archives / name).as_uri()
    ours = pathlib.Path(downloads.get_file(*args, origin=origin, cache_dir=str(homes / "ours"), **options))
    theirs = pathlib.Path(keras.utils.get_file(*args, origin=origin, cache_dir=str(homes / "theirs"), **options))
    assert ours.relative_to(homes / "ours") == theirs.relative_to(homes / "theirs")
    copy = ours / "inner" / "plain.bin" if ours.is_dir() else ours
    assert copy.read_bytes() == b"0123"


def test_get_file_fetches_once(homes, archives):
    source = homes / "s.txt"
    source.write_text("one")
    path = downloads.get_file(origin=source.as_uri())
    assert path == str(homes / "cornu" / "datasets" / "s.txt")
    source.write_text("two")
    assert pathlib.Path(downloads.get_file(origin=source.as_uri())).read_text() == "one"
    assert pathlib.Path(downloads.get_file(origin=source.as_uri(), force_download=True)).read_text() == "two"


def test_get_file_replaces_a_copy_with_another_hash(homes, archives):
    copy = homes / "cornu" / "datasets" / "plain.bin"
    copy.parent.mkdir(parents=True)
    copy.write_bytes(b"old")
    assert downloads.get_file(origin=(archives / "plain.bin").as_uri(), file_hash=MD5) == str(copy)
    assert copy.read_bytes() == b"0123"


def test_get_file_uses_what_keras_has(homes):
    copy = homes / "keras" / "datasets" / "x.txt"
    copy.parent.mkdir(parents=True)
    copy.write_text("here")
    assert downloads.get_file(origin="https://x.invalid/x.txt") == str(copy)


@pytest.mark.parametrize("options, message", [
    ({}, "address"), ({"origin": "https://x.invalid/"}, "no file name"),
    ({"fname": "a/b", "origin": "https://x.invalid/c"}, "folders"),
    ({"fname": "..", "origin": "https://x.invalid/c"}, "folders"),
    ({"origin": "https://x.invalid/c", "archive_format": "rar"}, "rar"),
    ({"origin": "https://x.invalid/c", "hash_algorithm": "crc"}, "crc"),
])
def test_get_file_refuses(homes, options, message):
    with pytest.raises(ValueError, match=message):
        downloads.get_file(**options)


def test_extracting_what_is_no_archive(homes, archives):
    with pytest.raises(downloads.DownloadError, match="no tar or zip archive"):
        downloads.get_file(origin=(archives / "plain.bin").as_uri(), extract=True)
