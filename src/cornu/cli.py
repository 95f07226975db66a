"""The command line: `cornu run SCRIPT.py` runs a Keras program, unchanged, on cornu; `inspect` and `convert` are for files."""

import argparse
import builtins
import importlib
import importlib.machinery
import io
import os
import pathlib
import signal
import sys
import types

from cornu.version import __version__

# Module paths of older Kerases, whose names live elsewhere today.
_MOVED = {
    "": ("api", "engine"),
    ".layers": ("layers.core", "layers.convolutional", "layers.pooling", "layers.recurrent", "layers.normalization",
                "layers.embeddings", "layers.advanced_activations", "layers.merge", "layers.noise", "layers.wrappers",
                "engine.base_layer", "engine.topology"),
    ".models": ("engine.training", "engine.sequential", "engine.functional"),
    ".utils": ("utils.np_utils", "utils.generic_utils", "utils.vis_utils", "utils.data_utils", "utils.layer_utils"),
}


class _Moved(types.ModuleType):
    """An older module path: its names are those of a module of today."""

    def __init__(self, name, target):
        super().__init__(name)
        self.__path__, self._target = [], target

    def __getattr__(self, name):
        return getattr(importlib.import_module(self._target), name)


class Finder:
    """Answers `import keras[.x]` and `tensorflow.keras[.x]` with cornu's own module objects."""

    def find_spec(self, name, path=None, target=None):
        """The spec of a module of keras or tensorflow; ImportError where cornu has none, None for all others."""
        if name.partition(".")[0] in ("keras", "tensorflow"):
            # Always answered here: a real Keras that is installed too must never mix with cornu.
            return importlib.machinery.ModuleSpec(name, self, origin="cornu")
        return None

    def create_module(self, spec):
        """The module object itself, not a copy: `keras.layers is cornu.layers`."""
        top, _, rest = spec.name.partition(".")
        if top == "tensorflow" and rest.partition(".")[0] != "keras":
            return _tensorflow(rest)
        name = rest if top == "keras" else rest.partition(".")[2]
        module = _cornu_module(name, spec.name)
        self.own = getattr(module, "__spec__", None), module
        return module

    def exec_module(self, module):
        """Nothing to run, but the import system wrote its own notes on the module: put cornu's back."""
        if (own := self.__dict__.pop("own", None)) and own[1] is module:
            module.__spec__ = own[0]


def _cornu_module(name, asked):
    found = f".{name}" if name else ""
    try:
        return importlib.import_module(f"cornu{found}")
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("cornu"):
            raise
    parent, _, last = found.rpartition(".")
    try:
        return getattr(importlib.import_module(f"cornu{parent}"), last)
    except (ImportError, AttributeError):
        raise ModuleNotFoundError(f"No module named {asked!r}: cornu has no cornu{found}", name=asked) from None


def _tensorflow(part):
    """The stand-in for `tensorflow`, of which only `tensorflow.keras` is here."""

    def refuse(name):
        raise ImportError(f"`cornu run` stands in for tensorflow.keras only; this script asks for tensorflow.{name}. "
                          "Replace that part (keras.ops and NumPy have most of it), or run the script with TensorFlow.")

    def missing(name):
        if name.startswith("__"):
            raise AttributeError(name)
        refuse(name)

    if part:
        refuse(part)
    module = types.ModuleType("tensorflow", "Stands in for TensorFlow while `cornu run` runs a script.")
    module.keras = importlib.import_module("cornu")
    module.__path__ = []
    module.__getattr__ = missing
    return module


def install() -> None:
    """From now on `keras` and `tensorflow.keras` are cornu in this process."""
    if not any(isinstance(finder, Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, Finder())
    here = pathlib.Path(__file__).parent
    for target, names in _MOVED.items():
        for name in names:
            # Under cornu too: `from keras.utils import np_utils` looks there. What cornu really has is left alone, and
            # all are placed by hand, as an import would set the attribute `core` of cornu.layers to something else.
            real = here.joinpath(*name.split(".")).with_suffix(".py").exists()
            for top in ("keras", "tensorflow.keras", *(() if real else ("cornu",))):
                sys.modules[f"{top}.{name}"] = _Moved(f"{top}.{name}", f"cornu{target}")


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
    install()
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
        return _report(error, path)
    return 0


def _report(error, path):
    """Print an error as Python does, from the script's own first frame on."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename != path:
        trace = trace.tb_next
    sys.excepthook(type(error), error.with_traceback(trace), trace)
    if isinstance(error, KeyboardInterrupt):  # die of the signal, so that a calling shell stops too
        sys.stdout.flush()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    return 1


def _files():
    return importlib.import_module("cornu.file_commands")


def _parser():
    parser = argparse.ArgumentParser(prog="cornu", description="The Keras API on JAX.")
    parser.add_argument("--version", action="version", version=f"cornu {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    command = commands.add_parser("run", help="run a Keras script on cornu, unchanged",
                                  description="Run SCRIPT as `python SCRIPT ARGS` would, with keras and tensorflow."
                                              "keras meaning cornu and the name `keras` already there.")
    command.add_argument("script", metavar="SCRIPT")
    command.add_argument("args", metavar="ARGS", nargs=argparse.REMAINDER)
    command.set_defaults(do=lambda options: run(options.script, options.args))
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
    if len(argv) > 1 and argv[0] == "run" and not argv[1].startswith("-"):
        return run(argv[1], argv[2:])  # past argparse, which would swallow a `--` that is the script's
    options = _parser().parse_args(argv)
    return options.do(options)


if __name__ == "__main__":
    sys.exit(main())
