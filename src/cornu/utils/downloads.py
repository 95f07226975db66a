"""Files from the network: verified, resumed, atomic, and safe with several processes at once."""

import contextlib
import errno
import hashlib
import http.client
import os
import pathlib
import shutil
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

from cornu import check, config, frames, system
from cornu.files import put_folder
from cornu.utils import archives

_TIMEOUT = 10.0  # seconds to connect, and between two pieces: a machine without network must learn so quickly
_PIECE = 1 << 18
_TARS = (".tar.gz", ".tar.bz2", ".tar.xz", ".tgz", ".tar", ".zip")


class DownloadError(OSError):
    """A file could not be fetched, or what arrived is not what was expected."""


class DamagedDownloadError(DownloadError, ValueError):
    """What arrived is not what was expected."""


@frames.filtered
def get_file(fname: str | None = None, origin: str | None = None, untar: bool = False, md5_hash: str | None = None,
             file_hash: str | None = None, cache_subdir: str = "datasets", hash_algorithm: str = "auto",
             extract: bool = False, archive_format="auto", cache_dir: str | None = None,
             force_download: bool = False) -> str:
    """Fetch a file once and return the path of its local copy (of the unpacked folder, with `extract`).

    A copy that Keras left in `$KERAS_HOME` or `~/.keras` is used where it is; a new one goes to cornu's own home.

    Args:
        fname: the local file's name, without folders; by default the last part of `origin`.
        origin: the address (http, https, ftp or file).
        untar: the older name of `extract`.
        md5_hash: the older name of `file_hash`, MD5 only.
        file_hash: the expected SHA-256 or MD5 in hexadecimal. With it, broken downloads are resumed.
        cache_subdir: the folder below the cache folder.
        hash_algorithm: `"auto"` (by the length of the hash), `"sha256"` or `"md5"`.
        extract: unpack the archive and return its folder.
        archive_format: `"auto"`, `"tar"`, `"zip"`, None, or a list of these.
        cache_dir: the cache folder, by default cornu's home.
        force_download: fetch again even when a copy is there.

    Raises:
        ValueError: no address, a path in `fname`, an unknown algorithm or archive format.
        DownloadError: nothing arrived, or its hash is wrong, or it cannot be unpacked.

    >>> import pathlib, tempfile
    >>> source = pathlib.Path(tempfile.mkdtemp(), "words.txt")
    >>> _ = source.write_text("lux")
    >>> open(get_file(origin=source.as_uri(), cache_dir=tempfile.mkdtemp())).read()
    'lux'
    """
    given, fname = bool(fname), _file_name(fname, origin)
    algorithm, digest = _expected(md5_hash, file_hash, hash_algorithm)
    formats = _formats(archive_format)
    bases = [pathlib.Path(cache_dir).expanduser()] if cache_dir else [config.home(), config.keras_home()]
    archive, folder = _names(fname, given) if extract or untar else (fname, None)
    for base in [] if force_download else bases:
        copy = base / cache_subdir / archive
        if digest and copy.is_file() and hash_of(copy, algorithm) != digest:
            continue
        if folder and (base / cache_subdir / folder).is_dir():
            return str(base / cache_subdir / folder)
        if copy.is_file():
            break
    else:
        copy = bases[0] / cache_subdir / archive
        download(origin, copy, digest, algorithm, again=True)
    return str(extract_archive(copy, bases[0] / cache_subdir / folder, formats, replace=True) if folder else copy)


def download(url: str, target: pathlib.Path, digest: str | None = None, algorithm: str = "sha256",
             again: bool = False) -> pathlib.Path:
    """Fetch `url` into `target`: nothing half-done is ever seen there, and a second process waits for the first.

    Raises DownloadError with the address and the reason.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    before = _stamp(target)
    with locked(target) as alone:
        # Another process may have brought the file while this one waited.
        fresh = target.is_file() and (not again or _stamp(target) != before)
        if fresh and (digest is None or hash_of(target, algorithm) == digest):
            return target
        part = target.with_name(target.name + (".part" if alone else f".{os.getpid()}.part"))
        _fill(url, part, digest, algorithm, target.name)
        os.replace(part, target)
    return target


@contextlib.contextmanager
def locked(target: pathlib.Path):
    """Hold the lock file beside `target`; yields False where the folder, file system or platform allows no locks."""
    with contextlib.ExitStack() as stack:
        alone = False
        with contextlib.suppress(OSError):
            target.parent.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(open(target.with_name(f".{target.name}.lock"), "w"))
            alone = system.lock(file.fileno(), wait=True)
        yield alone


def hash_of(path: pathlib.Path | str, algorithm: str = "sha256") -> str:
    """The hash of a file's content in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def extract_archive(path, folder: pathlib.Path, formats=("tar", "zip"), replace: bool = False) -> pathlib.Path:
    """Unpack a tar or zip archive into `folder`, all or nothing; members that would land outside it are refused.

    Of several processes at once one unpacks, and the others wait and find the folder. With `replace`, a folder that is
    older than the archive gives way to it.

    Raises DownloadError for what is no archive, is damaged, would write elsewhere or is too large.
    """
    path = pathlib.Path(path)
    with locked(folder):
        if folder.is_dir() and (not replace or folder.stat().st_mtime_ns >= path.stat().st_mtime_ns):
            return folder
        fresh = folder.with_name(f".{folder.name[:100]}.{os.getpid()}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        try:
            if not archives.unpack(path, fresh, formats):
                raise DownloadError(f"{path} is no {' or '.join(formats) or 'known'} archive: it cannot be extracted. "
                                    "Leave out `extract`, or name the right `archive_format`.")
            put_folder(fresh, folder)
        except archives.UnsafeArchiveError as error:
            raise DownloadError(str(error)) from None
        except DownloadError:
            raise
        except (OSError, *archives.DAMAGES) as error:
            kind = "could not be unpacked" if isinstance(error, OSError) else "is damaged"
            raise DownloadError(f"{path} {kind}: {str(error) or type(error).__name__}. Delete it to have it fetched again.") \
                from error
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return folder


def say(text: str, end: str = "\n") -> None:
    """One line for the person who waits, on the error stream so that a script's output stays its own."""
    print(text, end=end, file=sys.stderr, flush=True)


# Arguments of get_file -------------------------------------------------------------------------------------------


def _file_name(fname, origin):
    if not origin:
        raise ValueError('get_file needs the address to fetch from: get_file(origin="https://...").')
    name = str(fname) if fname else os.path.basename(urllib.parse.unquote(urllib.parse.urlsplit(origin).path))
    if not name:
        raise ValueError(f"The address {origin!r} ends in no file name. Pass one as `fname`.")
    if name in (".", "..") or os.path.basename(name) != name or "\\" in name:
        raise ValueError(f"`fname` must be a name without folders (use `cache_dir` for those). Received: {fname!r}")
    return name


def _expected(md5_hash, file_hash, algorithm):
    check.one_of("hash_algorithm", algorithm, ("auto", "sha256", "md5"))
    if md5_hash and not file_hash:
        return "md5", md5_hash.lower()
    digest = file_hash.lower() if file_hash else None
    return ("sha256" if digest and len(digest) == 64 else "md5") if algorithm == "auto" else algorithm, digest


def _formats(archive_format):
    if archive_format is None:
        return ()
    given = [archive_format] if isinstance(archive_format, str) else list(archive_format)
    for name in given:
        check.one_of("archive_format", name, ("auto", "tar", "zip"))
    return ("tar", "zip") if "auto" in given else tuple(given)


def _names(fname, given):
    """Keras's names for the archive and its folder: `a.tar.gz` and `a_extracted`, else `a_archive` and `a`."""
    for end in _TARS if given else ():
        if fname.endswith(end):
            return fname, fname.removesuffix(end) + "_extracted"
    return fname + "_archive", fname


# The transfer ----------------------------------------------------------------------------------------------------


def _fill(url, part, digest, algorithm, label):
    """Bring `part` to the whole content; without a hash nothing says that two halves belong together: no resuming."""
    for attempt in range(4):
        if digest is None:
            part.unlink(missing_ok=True)
        resumed = part.stat().st_size if part.exists() else 0
        try:
            whole = _transfer(url, part, resumed, label)
        except (OSError, ValueError, http.client.HTTPException) as error:  # a ValueError is an unusable address
            moved = part.exists() and part.stat().st_size > resumed
            if attempt < 3 and _passes(error, moved):
                time.sleep(0 if moved else 0.25 * 2**attempt)
                continue
            if digest is None or getattr(error, "errno", None) == errno.ENOSPC:
                part.unlink(missing_ok=True)
            raise DownloadError(f"Could not fetch {url}: {_reason(error)}") from error
        if whole and (digest is None or hash_of(part, algorithm) == digest):
            return
        if whole:
            found = hash_of(part, algorithm)
            part.unlink()
            if not resumed:
                raise DamagedDownloadError(f"{url} gave a file with {algorithm} {found}, but {digest} was expected. Deleted.")
    raise DownloadError(f"Could not fetch {url}: the connection broke off {attempt + 1} times. Run it again to resume.")


_BUSY = (408, 425, 429, 500, 502, 503, 504)  # answers of servers that may answer well a moment later


def _passes(error, moved: bool) -> bool:
    """Whether a second try makes sense: the server was busy or broke off, not absent."""
    if isinstance(error, urllib.error.HTTPError):
        return error.code in _BUSY
    if isinstance(error, (ValueError, http.client.InvalidURL)) or getattr(error, "errno", None) == errno.ENOSPC:
        return False
    cut_off = (http.client.HTTPException, ConnectionResetError, BrokenPipeError)
    return moved or isinstance(getattr(error, "reason", error), cut_off)


def _reason(error) -> str:
    reason = getattr(error, "reason", None) or error
    text = str(reason) or type(reason).__name__
    return f"the server's answer broke off or is none ({text:.200})" if isinstance(error, http.client.HTTPException) \
        else f"{text:.300}"


class _Answer(http.client.HTTPResponse):
    """An answer that is preceded by few lines of "100 Continue": http.client skips them without end."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._announced = 0

    def _read_status(self):
        self._announced += 1
        if self._announced > 10:
            raise http.client.HTTPException("it only announces an answer")
        return super()._read_status()


class _Answering:
    """A handler whose connections give an `_Answer`."""

    def do_open(self, http_class, req, **kwargs):
        connection = type(http_class.__name__, (http_class,), {"response_class": _Answer})
        return super().do_open(connection, req, **kwargs)


class _Http(_Answering, urllib.request.HTTPHandler):
    pass


class _Https(_Answering, urllib.request.HTTPSHandler):
    pass


class _SameScheme(urllib.request.HTTPRedirectHandler):
    """Follows to http and https, and from https to nothing less."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        old, new = (urllib.parse.urlsplit(url).scheme.lower() for url in (req.full_url, newurl))
        if new != "https" and not old == new == "http":
            raise urllib.error.URLError(f"it sends from {old} on to {newurl!r:.200}, which is not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _transfer(url, part, start, label):
    """Append to `part` what is missing; returns whether all of it arrived."""
    headers = {"User-Agent": "cornu"} | ({"Range": f"bytes={start}-"} if start else {})
    try:
        request = urllib.request.Request(url, headers=headers)
        answer = urllib.request.build_opener(_Http, _Https, _SameScheme).open(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416 and start:  # nothing lies beyond: the part is whole, its hash will tell
            return True
        raise
    with answer, open(part, "ab" if (resumes := getattr(answer, "status", None) == 206) else "wb") as file:
        done = start if resumes else 0
        total = _length(answer, done)
        show = _progress(label, total)
        while piece := answer.read(_PIECE):
            file.write(piece)
            done += len(piece)
            show(done)
        file.flush()
        os.fsync(file.fileno())
        show(done, last=True)
    return total is None or done >= total


def _length(answer, done: int):
    """How long the whole file is, where the server says so."""
    told = answer.headers.get("Content-Length")
    if told is None or not told.strip():
        return None
    if not told.strip().isdecimal():
        raise http.client.HTTPException(f"a length of {told!r:.60}")
    return done + int(told)


def _progress(label, total):
    """A line redrawn at most ten times a second on a terminal; elsewhere one line when all is there."""
    start, drawn, screen = time.monotonic(), [0.0], sys.stderr.isatty()

    def show(done, last=False):
        now = time.monotonic()
        if (not screen or now - drawn[0] < 0.1) and not last:
            return
        drawn[0] = now
        share = f"{100 * done / total:3.0f}% of {total / 1e6:.1f} MB" if total else f"{done / 1e6:.1f} MB"
        end = "\n" if last or not screen else ""
        say(f"{chr(13) * screen}{label}: {share}, {done / 1e6 / max(now - start, 1e-3):.1f} MB/s   ", end=end)

    return show


def _stamp(path):
    return path.stat().st_mtime_ns if path.exists() else None
