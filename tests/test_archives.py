"""Archives that try to get out of their folder or to fill the disk, and servers that answer badly."""

import io
import os
import socketserver
import subprocess
import sys
import tarfile
import threading
import zipfile

import pytest

from cornu import config
from cornu.files import put_folder
from cornu.utils import downloads

FILE, DIR, SYM, HARD = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE
LONG = "d" * 200
DEEP = "/".join([LONG] * 24)  # longer than the system follows in one path


def tar(path, members, mode="w"):
    """An archive of (name, kind, target or content)."""
    with tarfile.open(path, mode) as archive:
        for name, kind, more in members:
            info = tarfile.TarInfo(name)
            info.type = kind
            content = more if kind == FILE and isinstance(more, bytes) else b""
            info.size = len(content)
            info.linkname = more if kind in (SYM, HARD) else ""
            archive.addfile(info, io.BytesIO(content))


def steps(depth, last):
    """Links a, a/b ... that go up in turn, as the attack on nested directories does."""
    made = [("/".join([LONG] * n), DIR, None) for n in range(1, depth + 1)]
    return [*made, *[("s" * n, SYM, "/".join([LONG] * n)) for n in range(1, depth + 1)], *last]


OUT = "evil"
ESCAPES = {
    "up": [("../evil", FILE, b"x")], "up twice": [("../../evil", FILE, b"x")], "up inside": [("a/../../evil", FILE, b"x")],
    "up, with a file on the way": [("a", FILE, b""), ("a/../../evil", FILE, b"x")],
    "root": [("/tmp/evil", FILE, b"x")], "roots": [("//evil", FILE, b"x")], "dot up": [("./../evil", FILE, b"x")],
    "directory up": [("../evil", DIR, None)], "deep up": [("a/b/c/../../../../evil", FILE, b"x")],
    "link up": [("l", SYM, "../evil")], "link to root": [("l", SYM, "/etc")], "link up inside": [("a/l", SYM, "../../evil")],
    "link to the parent": [("l", SYM, "..")], "link to itself": [("l", SYM, "l/x")], "link to nothing": [("l", SYM, "")],
    "file through a link": [("l", SYM, ".."), ("l/evil", FILE, b"x")],
    "file through a link inside": [("d", DIR, None), ("l", SYM, "d"), ("l/evil", FILE, b"x")],
    "file through two links": [("a", SYM, "b"), ("b", SYM, ".."), ("a/evil", FILE, b"x")],
    "link through a link": [("d/e", DIR, None), ("l", SYM, "d/e"), ("l/m", SYM, "../../evil")],
    "link through a link, back": [("d", DIR, None), ("d/l", SYM, ".."), ("m", SYM, "d/l/../evil")],
    "up after a name": [("d/e", DIR, None), ("x", SYM, "d/e/../../../evil")],
    "up after a link": [("t", DIR, None), ("d/L", SYM, "../t"), ("d/x", SYM, "L/../../evil")],
    "through a later link": [("m", SYM, "l/evil"), ("l", SYM, "..")],
    "hard link up": [("h", HARD, "../evil")], "hard link to root": [("h", HARD, "/etc/passwd")],
    "hard link to a link": [("l", SYM, "f"), ("f", FILE, b"x"), ("h", HARD, "l")],
    "hard link through a link": [("d/f", FILE, b"x"), ("l", SYM, "d"), ("h", HARD, "l/f")],
    "hard link to nothing": [("h", HARD, "none")], "hard link to a directory": [("d", DIR, None), ("h", HARD, "d")],
    "hard link to itself": [("h", HARD, "h")], "link without a name": [("", SYM, "x")], "link to the folder": [("l", SYM, ".")],
    "file over a directory": [("d", DIR, None), ("d", FILE, b"x")], "link over a directory": [("d", DIR, None), ("d", SYM, "e")],
    "directory over a file": [("d", FILE, b"x"), ("d", DIR, None)], "file below a file": [("d", FILE, b"x"), ("d/e", FILE, b"x")],
    "pipe": [("p", tarfile.FIFOTYPE, None)], "device": [("c", tarfile.CHRTYPE, None)], "block device": [("c", tarfile.BLKTYPE, None)],
    "unknown kind": [("c", b"9", None)],
    "long directories": steps(20, [("escape", SYM, "s" * 20 + "/" + "../" * 22 + "evil"), ("h", HARD, "escape")]),
    "long directories, file": steps(20, [("escape", SYM, "s" * 20 + "/" + "../" * 22), ("escape/evil", FILE, b"x")]),
    "long names": [(DEEP + "/../" * 40 + "evil", FILE, b"x")], "long link": [("l", SYM, DEEP + "/.." * 40)],
}
ZIPS = {"up": "../evil", "root": "/tmp/evil", "up inside": "a/../../evil", "roots": "//evil", "dots": "./../evil",
        "directory": "../evil/"}


def refused(archive, folder):
    before = {str(p) for p in folder.parent.rglob("*")}
    with pytest.raises(downloads.DownloadError) as error:
        downloads.extract_archive(archive, folder)
    lock = str(folder.with_name(f".{folder.name}.lock"))
    assert {str(p) for p in folder.parent.rglob("*")} - {lock} == before
    assert len(str(error.value).splitlines()) <= 3
    return str(error.value)


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("name", ESCAPES)
def test_a_tar_cannot_write_outside(tmp_path, name, mode):
    (tmp_path / "in").mkdir()
    tar(tmp_path / "x.tar", ESCAPES[name], mode)
    refused(tmp_path / "x.tar", tmp_path / "in" / "out")
    assert not (tmp_path / OUT).exists() and not os.path.exists("/tmp/evil")


@pytest.mark.parametrize("name", ZIPS)
def test_a_zip_cannot_write_outside(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(ZIPS[name], "x")
    refused(tmp_path / "x.zip", tmp_path / "out")


def test_what_belongs_in_an_archive_is_unpacked(tmp_path):
    members = [("d/e", DIR, None), ("d/f", FILE, b"one"), ("./g", FILE, b"two"), ("h", HARD, "d/f"), ("d/l", SYM, "f"),
               ("d/e/up", SYM, "../../g"), ("k", SYM, "d/l"), ("g", FILE, b"three")]
    tar(tmp_path / "x.tar", members)
    out = downloads.extract_archive(tmp_path / "x.tar", tmp_path / "out")
    found = {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file()}
    assert found == {"d/f": b"one", "g": b"three", "h": b"one", "d/l": b"one", "d/e/up": b"three", "k": b"one"}


def zeros(kind, path, size):
    content = bytes(1 << 20)
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("z", "w", force_zip64=True) as file:
            for _ in range(size >> 20):
                file.write(content)
    else:
        with tarfile.open(path, f"w:{kind}") as archive:
            for n in range(size >> 20):
                info = tarfile.TarInfo(f"z{n}")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))


@pytest.fixture
def limits():
    before = config.archive_limits()
    yield config.set_archive_limits
    config._state["archive_limits"] = before


@pytest.mark.parametrize("kind", ["zip", "gz", "bz2", "xz"])
def test_an_archive_that_grows_beyond_its_bounds_is_refused(tmp_path, kind, limits):
    limits(bytes=20 << 20)
    zeros(kind, tmp_path / "x", 40 << 20)
    assert "set_archive_limits" in refused(tmp_path / "x", tmp_path / "out")
    limits(bytes=50 << 20)
    assert sum(p.stat().st_size for p in downloads.extract_archive(tmp_path / "x", tmp_path / "out").iterdir()) == 40 << 20


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_members_are_counted(tmp_path, kind, limits):
    limits(members=99)
    if kind == "tar":
        tar(tmp_path / "x", [(f"f{n}", FILE, b"") for n in range(100)])
    else:
        with zipfile.ZipFile(tmp_path / "x", "w") as archive:
            for n in range(100):
                archive.writestr(f"f{n}", "")
    assert "members" in refused(tmp_path / "x", tmp_path / "out")


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_directories_on_the_way_are_counted(tmp_path, kind, limits):
    limits(members=99)
    names = [f"{n}/" + "d/" * 40 + "f" for n in range(3)]
    if kind == "tar":
        tar(tmp_path / "x", [(name, FILE, b"") for name in names])
    else:
        with zipfile.ZipFile(tmp_path / "x", "w") as archive:
            for name in names:
                archive.writestr(name, "")
    assert "members" in refused(tmp_path / "x", tmp_path / "out")


def test_directories_that_are_members_count_once(tmp_path, limits):
    limits(members=99)
    tar(tmp_path / "x", [("/".join("d" * n), DIR, None) for n in range(1, 51)] + [(f"f{n}", FILE, b"") for n in range(49)])
    assert len(list(downloads.extract_archive(tmp_path / "x", tmp_path / "out").rglob("*"))) == 99


def test_a_size_that_is_only_announced_is_refused_at_once(tmp_path):
    info = tarfile.TarInfo("big")
    info.size = 1 << 42
    (tmp_path / "x.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(10_240))
    refused(tmp_path / "x.tar", tmp_path / "out")


def test_headers_are_bounded(tmp_path):
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 200 << 20
    (tmp_path / "x.tar").write_bytes(tarfile.TarInfo("first").tobuf() + info.tobuf() + bytes(10_240))
    refused(tmp_path / "x.tar", tmp_path / "out")


@pytest.mark.parametrize("kind", ["zip", "tar", "gz", "bz2", "xz"])
@pytest.mark.parametrize("cut", [0.3, 0.6, 0.95])
def test_what_is_damaged_is_refused(tmp_path, kind, cut):
    content = os.urandom(300_000)
    if kind == "zip":
        with zipfile.ZipFile(tmp_path / "x", "w") as archive:
            archive.writestr("a", content)
    else:
        tar(tmp_path / "x", [("a", FILE, content)], f"w:{kind.replace('tar', '')}")
    whole = (tmp_path / "x").read_bytes()
    (tmp_path / "x").write_bytes(whole[:int(cut * len(whole))])
    refused(tmp_path / "x", tmp_path / "out")


@pytest.mark.parametrize("bad", [{"bytes": 0}, {"bytes": 1.5}, {"members": True}, {"members": "9"}])
def test_limits_are_positive_integers(bad):
    with pytest.raises(ValueError, match="> 0"):
        config.set_archive_limits(**bad)


def test_of_several_processes_one_unpacks_and_all_find_it(tmp_path):
    tar(tmp_path / "x.tar", [(f"f{n}", FILE, os.urandom(100)) for n in range(500)])
    code = ("import sys, pathlib; from cornu.utils import downloads\n"
            f"folder = downloads.get_file(origin='{(tmp_path / 'x.tar').as_uri()}', extract=True, cache_dir='{tmp_path / 'c'}')\n"
            "print(len(list(pathlib.Path(folder).iterdir())))")
    started = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True,
                                env={**os.environ, "PYTHONPATH": "src"}) for _ in range(6)]
    assert [process.communicate()[0].strip() for process in started] == ["500"] * 6


# Folders that take another's place -------------------------------------------------------------------------------


@pytest.mark.parametrize("exchange", [True, False])
@pytest.mark.parametrize("there", [True, False])
def test_a_folder_takes_anothers_place(tmp_path, monkeypatch, exchange, there):
    if not exchange:
        monkeypatch.setattr("cornu.system.exchange", lambda *_: False)
    for name in ("new", "old") if there else ("new",):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    put_folder(tmp_path / "new", tmp_path / "old")
    assert [p.name for p in (tmp_path / "old").iterdir()] == ["new"]


def test_an_interrupt_between_two_renames_keeps_the_old_folder(tmp_path, monkeypatch):
    for name in ("new", "old"):
        (tmp_path / name).mkdir()
    rename, calls = os.rename, []

    def interrupted(source, target):
        calls.append(source)
        if len(calls) == 2:
            raise KeyboardInterrupt
        rename(source, target)

    monkeypatch.setattr("cornu.system.exchange", lambda *_: False)
    monkeypatch.setattr(os, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        put_folder(tmp_path / "new", tmp_path / "old")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new", "old"]


# Servers ---------------------------------------------------------------------------------------------------------

ANSWERS = {
    "chunks cut off": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    "bad chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc",
    "bad status line": b"NONSENSE\r\n\r\n", "no answer": b"", "status of letters": b"HTTP/1.1 abc OK\r\n\r\n",
    "long header": b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000 + b"\r\n\r\n",
    "many headers": b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 200 + b"\r\n",
    "too short": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc",
    "length of letters": b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nabc",
    "length below zero": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nabc",
    "to a file": b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n",
    "to ftp": b"HTTP/1.1 302 Found\r\nLocation: ftp://127.0.0.1/x\r\n\r\n",
    "to nowhere": b"HTTP/1.1 302 Found\r\n\r\n", "to itself": b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n",
    "busy": b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "gone": b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n",
}


@pytest.fixture
def answering():
    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.recv(4096)
            told = self.server.answers
            self.request.sendall(told.pop(0) if len(told) > 1 else told[0])

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        server.url = f"http://127.0.0.1:{server.server_address[1]}/file"
        yield server
        server.shutdown()


@pytest.mark.parametrize("name", ANSWERS)
def test_every_fault_of_a_server_is_a_download_error(answering, tmp_path, monkeypatch, name):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    answering.answers = [ANSWERS[name]]
    with pytest.raises(downloads.DownloadError, match="Could not fetch"):
        downloads.download(answering.url, tmp_path / "file")
    assert not (tmp_path / "file").exists()


def test_a_server_that_announces_an_answer_without_end(answering, tmp_path, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    answering.answers = [b"HTTP/1.1 100 Continue\r\n\r\n" * 2000]
    with pytest.raises(downloads.DownloadError, match="only announces an answer"):
        downloads.download(answering.url, tmp_path / "file")


def test_an_answer_may_be_announced(answering, tmp_path):
    answering.answers = [b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"]
    assert downloads.download(answering.url, tmp_path / "file").read_bytes() == b"abc"


@pytest.mark.parametrize("name", ["busy", "no answer", "bad status line", "chunks cut off", "too short"])
def test_a_server_that_recovers_is_asked_again(answering, tmp_path, monkeypatch, name):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    answering.answers = [ANSWERS[name], b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"]
    assert downloads.download(answering.url, tmp_path / "file").read_bytes() == b"abc"
