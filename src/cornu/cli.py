"""The command line: `cornu run` runs a Keras program, unchanged, on cornu; `enable` and `disable`
are for a whole environment, `inspect` and `convert` for files.
"""

import argparse
import builtins
import importlib
import io
import os
import runpy
import sys
import types

from cornu import system
from cornu.doors import environment, opening
from cornu.version import __version__

def run(script: str, args: list[str]) -> int:
    """Run a Python script as `python SCRIPT ARGS` would, with `keras` meaning cornu; returns the exit code.

    The name `keras` is there before the script's first line, because old tutorials forget the import.
    """
    path = os.path.abspath(script)
    try:
        with io.open_code(path) as file:
            source = file.read()
    except OSError as error:
        print(f"cornu: can't open file {path!r}: [Errno {error.errno}] {error.strerror}", file=sys.stderr)
        return 2
    opening.install()
    main = types.ModuleType("__main__")
    main.__dict__.update(__builtins__=builtins, __file__=path, __cached__=None, keras=importlib.import_module("keras"))
    sys.modules["__main__"] = main
    sys.argv = [script, *args]
    sys.path[0] = os.path.dirname(os.path.realpath(path))
    try:
        exec(compile(source, path, "exec", dont_inherit=True), main.__dict__)
    except SystemExit:
        raise
    except BaseException as error:
        return _report(error)
    return 0


def run_module(module: str, args: list[str]) -> int:
    """Run a module as `python -m MODULE ARGS` would, with `keras` meaning cornu; returns the code."""
    opening.install()
    sys.argv = [module, *args]
    sys.path[0] = os.getcwd()
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit:
        raise
    except ImportError as error:
        if error.__traceback__ is not None and _outer(error) is None:  # it is the module itself
            print(f"cornu: {error}", file=sys.stderr)
            return 1
        return _report(error)
    except BaseException as error:
        return _report(error)
    return 0


def _outer(error):
    """The traceback from the program's own first frame on."""
    trace = error.__traceback__
    ours = (__file__, runpy.run_module.__code__.co_filename)
    while trace is not None and trace.tb_frame.f_code.co_filename in ours:
        trace = trace.tb_next
    return trace


def _report(error):
    """Print an error as Python does, from the program's own first frame on."""
    trace = _outer(error)
    sys.excepthook(type(error), error.with_traceback(trace), trace)
    if isinstance(error, KeyboardInterrupt):
        sys.stdout.flush()
        return system.end_by_interrupt()
    return 1


def _say(outcome):
    code, text = outcome
    print(text, file=sys.stderr if code else sys.stdout)
    return code


def _files():
    return importlib.import_module("cornu.file_commands")


def _parser():
    parser = argparse.ArgumentParser(prog="cornu", description="The Keras API on JAX.")
    parser.add_argument("--version", action="version", version=f"cornu {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    command = commands.add_parser(
        "run",
        usage="cornu run [-h] (SCRIPT | -m MODULE) [ARGS ...]",
        help="run a Keras script or module on cornu, unchanged",
        description="Run SCRIPT as `python SCRIPT ARGS` would, or MODULE as `python -m MODULE ARGS` "
        "would, with keras and tensorflow.keras meaning cornu, also in the processes that it "
        "starts. A script finds the name `keras` without an import.",
    )
    command.add_argument("script", metavar="SCRIPT")
    command.add_argument("args", metavar="ARGS", nargs=argparse.REMAINDER)
    command.set_defaults(do=lambda options: run(options.script, options.args))
    command = commands.add_parser(
        "enable",
        help="let keras mean cornu in this whole environment",
        description="Write a start-up file into this Python's site-packages, so that `import keras` "
        "and tensorflow.keras mean cornu in every process. An installed Keras stays as it is.",
    )
    command.set_defaults(do=lambda options: _say(environment.enable()))
    command = commands.add_parser(
        "disable",
        help="undo `cornu enable`",
        description="Remove the start-up file that `cornu enable` wrote.",
    )
    command.set_defaults(do=lambda options: _say(environment.disable()))
    command = commands.add_parser("inspect", help="print what a model file holds, without building it",
                                  description="Print what a .keras, .h5, .weights.h5 (or .json) or .safetensors file holds: layers, weights, sizes, "
                                              "who wrote it, and what is damaged or suspicious. Nothing in the file is run, "
                                              "and it is safe for files from strangers. Exit code: 0 where all is well, 1 "
                                              "where something is wrong with the file, 2 where it cannot be read.")
    command.add_argument("file", metavar="FILE")
    command.add_argument("--all", action="store_true", help="all rows of long tables")
    command.set_defaults(do=lambda options: _files().inspect(options.file, options.all))
    command = commands.add_parser("convert", help="write a model file in another format",
                                  description="Write the model or the weights in IN into OUT, in the format that OUT's ending "
                                              "says: .keras or .h5 for a model, .weights.h5 or .safetensors for its weights "
                                              "alone. IN may be any of these (Keras 2's .h5 too), or a .weights.json.")
    command.add_argument("source", metavar="IN")
    command.add_argument("target", metavar="OUT")
    command.add_argument("--overwrite", action="store_true", help="replace OUT if it is there")
    command.set_defaults(do=lambda options: _files().convert(options.source, options.target, options.overwrite))
    return parser


def main(argv: list[str] | None = None) -> int:
    """The entry point of the command `cornu`; returns the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    # Past argparse, which would swallow a `--` that is the script's.
    if len(argv) > 1 and argv[0] == "run" and not argv[1].startswith("-"):
        return run(argv[1], argv[2:])
    if len(argv) > 2 and argv[:2] == ["run", "-m"]:
        return run_module(argv[2], argv[3:])
    options = _parser().parse_args(argv)
    return options.do(options)


if __name__ == "__main__":
    sys.exit(main())
