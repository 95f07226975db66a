"""Tests of a package written on Keras 3, under the real Keras and under cornu, side by side.

    python tests/clients/run.py --client scikeras --checkout FOLDER --env FOLDER

makes the environment (if it is not there), runs the client's own tests of the checkout once under
Keras with JAX and once under cornu, and prints for both how many passed, failed and did not run,
then the cases that pass under Keras and not under cornu. Without a checkout it runs the short
programs of `programs.py` instead. `--select` replaces the selection, `-k` narrows it.

The exit code is 0 where all that passes under Keras passes under cornu, 1 where something does not,
and 2 where nothing can be compared: a wrong argument, or nothing that passes under Keras.
"""

import argparse
import collections
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import venv

from packages import CLIENTS, COMMON
from programs import PROGRAMS

HERE = pathlib.Path(__file__).resolve().parent
SIDES = ("Keras", "cornu")
KINDS = ("passed", "failed", "not run")


class Unusable(Exception):
    """Nothing can be compared; the text says why."""


def environment(folder, client):
    """The Python of an environment with what the client needs; it is filled where it is not yet."""
    builder = venv.EnvBuilder(with_pip=True)
    python = builder.ensure_directories(folder).env_exe
    filled = folder / f"has-{client}.txt"  # written last: what broke off half-way is done again
    if filled.exists():
        return python
    if not os.path.exists(python):
        builder.create(folder)
    packages, alone = CLIENTS[client].packages, CLIENTS[client].alone
    # What the client depends on stands in `packages`, where its own list asks for too much.
    for asked in ([*COMMON, *packages], ["--no-deps", *alone] if alone else []):
        if asked and subprocess.run([python, "-m", "pip", "install", "-q", *asked]).returncode:
            raise Unusable(f"pip can't install {' '.join(asked)} into {folder}: see above.")
    filled.write_text("\n".join([*packages, *alone]) + "\n")
    return python


def start(python, side, arguments, cwd, timeout, **variables):
    """Run Python on one of the two sides; its output, or a line that says that time was up."""
    cache = pathlib.Path(python).parents[1] / "jax-cache"  # tests make the same models again
    variables = {**os.environ, "KERAS_BACKEND": "jax", "TF_CPP_MIN_LOG_LEVEL": "3",
                 "WANDB_MODE": "offline", "PYTHONPATH": str(HERE),
                 "JAX_COMPILATION_CACHE_DIR": str(cache),
                 "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
                 "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1", **variables}
    cornu = os.path.join(os.path.dirname(python), "cornu")
    under = [python] if side == "Keras" else [cornu, "run"]
    command = [*under, *arguments]
    try:
        return subprocess.run(command, cwd=cwd, env=variables, timeout=timeout, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except subprocess.TimeoutExpired as error:
        said = (error.stdout or b"").decode(errors="replace")
        return subprocess.CompletedProcess(
            command, 1, f"{said}\nnot finished within {timeout:g} seconds")


def of_checkout(python, side, selection, options):
    """The results of the client's own tests: case -> a kind, or "not collected" for a file."""
    with tempfile.TemporaryDirectory() as folder:
        record = pathlib.Path(folder) / "record.txt"
        narrowed = ["-k", options.k] if options.k else []
        done = start(python, side,
                     ["-m", "pytest", "-p", "record", "-p", "no:cacheprovider", "-q", "--tb=short",
                      "-o", "addopts=", "--continue-on-collection-errors", *narrowed, *selection],
                     options.checkout, options.timeout, CLIENT_RECORD=str(record))
        if options.log:
            options.log.with_suffix(f".{side}.txt").write_text(done.stdout)
        lines = record.read_text().splitlines() if record.exists() else []
    if not lines:
        print(f"{side}: pytest ran no case:\n{done.stdout[-3000:]}")
    elif done.stdout.endswith(" seconds"):
        print(f"{side}: {done.stdout.splitlines()[-1]}; what it had not come to is not run")
    return keep_worst(json.loads(line) for line in lines)


def keep_worst(events):
    """Case -> its result, of lines in their order: what failed once stays failed."""
    found = {}
    for case, result in events:
        if found.get(case) != "failed":
            found[case] = result
    return found


def of_programs(python, side, client, options):
    """The results of our own short programs."""
    found = {}
    for name, text in PROGRAMS[client].items():
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "program.py"
            path.write_text(text)
            done = start(python, side, [str(path)], folder, options.timeout)
        found[name] = "failed" if done.returncode else "passed"
        if done.returncode:
            print(f"{side}, {name}:\n{done.stdout[-2000:]}")
    return found


def compare(client, results):
    """Print what both sides have; returns the exit code.

    A case that only one side knows (its file can't be imported on the other) is not run there.
    """
    cases = {case for found in results.values() for case, result in found.items()
             if result in KINDS}
    for side in SIDES:
        kinds = collections.Counter(results[side].get(case, "not run") for case in cases)
        print(f"{client} under {side}:", ", ".join(f"{kinds[kind]} {kind}" for kind in KINDS))
        for file in sorted(set(results[side]) - cases):
            print(f"  not collected: {file}")
    passed = {case for case, result in results["Keras"].items() if result == "passed"}
    if not passed:
        print("Nothing passes under Keras: nothing is compared.")
        return 2
    lost = sorted(case for case in passed if results["cornu"].get(case) != "passed")
    print(f"pass under Keras and not under cornu: {len(lost)}", *lost, sep="\n  ")
    return int(bool(lost))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--client", required=True, choices=CLIENTS)
    parser.add_argument("--checkout", type=pathlib.Path, help="a checkout of its repository")
    parser.add_argument("--env", type=pathlib.Path, required=True, help="the environment's folder")
    parser.add_argument("--select", nargs="+", help="files or folders of tests in the checkout")
    parser.add_argument("-k", help="pytest's expression for the cases")
    parser.add_argument("--timeout", type=float, default=3600, help="seconds for each run")
    parser.add_argument("--log", type=pathlib.Path, help="where pytest's output is kept")
    options = parser.parse_args()
    if options.checkout is None:
        if options.select or options.k or options.log:
            parser.error("--select, -k and --log are about the tests of a --checkout")
        return options
    if not options.checkout.is_dir():
        parser.error(f"--checkout {options.checkout} is no folder")
    options.select = options.select or CLIENTS[options.client].tests
    if not options.select:
        parser.error(f"--client {options.client} has no selection of tests: give --select")
    for chosen in options.select:
        if not (options.checkout / chosen.partition("::")[0]).exists():
            parser.error(f"--select {chosen}: {options.checkout} has no such file or folder")
    return options


def main():
    options = arguments()
    try:
        python = environment(options.env.absolute(), options.client)
    except Unusable as error:
        print(error)
        return 2
    results = {}
    for side in SIDES:
        if options.checkout:
            results[side] = of_checkout(python, side, options.select, options)
        else:
            results[side] = of_programs(python, side, options.client, options)
    return compare(options.client, results)


if __name__ == "__main__":
    sys.exit(main())
