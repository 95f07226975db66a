"""Tests of a package written on Keras 3, under the real Keras and under cornu, side by side.

    python tests/clients/run.py --client scikeras --checkout FOLDER --env FOLDER

makes the environment (if it is not there), runs the client's own tests of the checkout once under
Keras with JAX and once under cornu, and prints for both how many passed, failed and did not run,
then the cases that pass under Keras and not under cornu. Without a checkout it runs the short
programs of `programs.py` instead. `--select` replaces the selection, `-k` narrows it.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import venv
import xml.etree.ElementTree as ElementTree

from programs import PROGRAMS

ROOT = pathlib.Path(__file__).resolve().parents[2]
COMMON = ["-e", str(ROOT), "keras==3.15.1", "pytest", "absl-py", "tensorflow-cpu"]

# Client -> what is installed for it, and the tests of its repository that are run.
CLIENTS = {
    "scikeras": (["scikeras", "scikit-learn"], ["tests"]),
    "keras-tuner": (["keras-tuner", "scikit-learn", "scipy", "pandas", "six"], ["keras_tuner"]),
    "keras-hub": (["keras-hub"], ["keras_hub/src/layers"]),
}
SIDES = ("Keras", "cornu")


def environment(folder, packages):
    """The Python of an environment with these packages, made where there is none."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *COMMON, *packages], check=True)
    return str(python)


def start(python, side, arguments, cwd, timeout):
    """Run Python on one of the two sides; its output, or a line that says that time was up."""
    variables = {**os.environ, "KERAS_BACKEND": "jax", "TF_CPP_MIN_LOG_LEVEL": "3"}
    variables.pop("PYTHONPATH", None)
    under = [python] if side == "Keras" else [str(pathlib.Path(python).with_name("cornu")), "run"]
    command = [*under, *arguments]
    try:
        return subprocess.run(command, cwd=cwd, env=variables, timeout=timeout, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, f"not finished within {timeout} seconds")


def read(report):
    """Case -> "passed", "failed" or "not run", from pytest's JUnit file."""
    found = {}
    for case in ElementTree.parse(report).iter("testcase"):
        kinds = {child.tag for child in case}
        failed = kinds & {"failure", "error"}
        result = "failed" if failed else "not run" if "skipped" in kinds else "passed"
        found[f"{case.get('classname')}::{case.get('name')}"] = result
    return found


def of_checkout(python, side, checkout, selection, options):
    """The results of the client's own tests."""
    with tempfile.TemporaryDirectory() as folder:
        report = pathlib.Path(folder) / "report.xml"
        done = start(python, side, ["-m", "pytest", "-q", "--tb=short",
                                    "--continue-on-collection-errors", f"--junitxml={report}",
                                    *(["-k", options.k] if options.k else []), *selection],
                     checkout, options.timeout)
        if options.log:
            options.log.with_suffix(f".{side}.txt").write_text(done.stdout)
        if not report.exists():
            print(f"{side}: pytest gave no report:\n{done.stdout[-3000:]}")
            return {}
        return read(report)


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
            print(f"{side}, {name}:\n{done.stdout[-1000:]}")
    return found


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--client", required=True, choices=CLIENTS)
    parser.add_argument("--checkout", type=pathlib.Path, help="a checkout of its repository")
    parser.add_argument("--env", type=pathlib.Path, required=True, help="the environment's folder")
    parser.add_argument("--select", nargs="+", help="files or folders of tests in the checkout")
    parser.add_argument("-k", help="pytest's expression for the cases")
    parser.add_argument("--timeout", type=float, default=3600, help="seconds for each run")
    parser.add_argument("--log", type=pathlib.Path, help="where pytest's output is kept")
    return parser.parse_args()


def main():
    options = arguments()
    packages, selection = CLIENTS[options.client]
    python = environment(options.env.absolute(), packages)
    results = {}
    for side in SIDES:
        if options.checkout:
            results[side] = of_checkout(python, side, options.checkout,
                                        options.select or selection, options)
        else:
            results[side] = of_programs(python, side, options.client, options)
        counts = [f"{list(results[side].values()).count(kind)} {kind}"
                  for kind in ("passed", "failed", "not run")]
        print(f"{options.client} under {side}: {', '.join(counts)}", flush=True)
    lost = [case for case, result in results["Keras"].items()
            if result == "passed" and results["cornu"].get(case) != "passed"]
    print(f"pass under Keras and not under cornu: {len(lost)}", *sorted(lost), sep="\n  ")
    return bool(lost) or not any("passed" in found.values() for found in results.values())


if __name__ == "__main__":
    sys.exit(main())
