"""The library where the system has no file locks, no limits on memory, no fork and no files without a name."""

import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
# Read by every Python that starts, worker processes too: as on Windows, the modules and functions are not there.
BARE = """
import os, sys
for name in ("fcntl", "resource"):
    sys.modules[name] = None
for name in ("fork", "forkpty", "O_TMPFILE", "fchmod"):
    if hasattr(os, name):
        delattr(os, name)
"""
RUN = """
import importlib, multiprocessing, os, sys
multiprocessing.set_start_method("spawn")
for name in ("fcntl", "resource"):
    try:
        importlib.import_module(name)
    except ImportError:
        continue
    sys.exit(name + " is there")
from cornu import lowering, system
assert system.nameless_file(".", os.O_RDWR) is None and system.address_space_limit() is None
assert not system.lock(0) and not lowering.prepare_cpu()
import pytest
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "-p", "no:xdist", *sys.argv[1:]]))
"""


def run_bare(tmp_path, *arguments):
    (tmp_path / "sitecustomize.py").write_text(BARE)
    path = os.pathsep.join([str(tmp_path), str(HERE.parent / "src"), *filter(None, sys.path)])
    return subprocess.run([sys.executable, "-c", RUN, *arguments], cwd=HERE.parent, capture_output=True, text=True, timeout=600,
                          env={**os.environ, "PYTHONPATH": path, "JAX_PLATFORMS": "cpu", "CORNU_MALLOC": "0"})


def test_without_what_only_posix_has(tmp_path):
    files = [f"tests/test_{name}.py" for name in ("tiny", "saving", "saved_objects", "workers", "downloads")]
    # Without locks a process has its own part of a file that it fetches, so that a later one begins anew, and two at once may
    # both fetch it. (Both ways between cornu and Keras takes as long as all the rest.)
    done = run_bare(tmp_path, *files, "-k", "not later_process and not two_processes and not both_ways")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert " passed" in done.stdout
