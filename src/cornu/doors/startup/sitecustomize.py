"""Run by Python at the start of processes that a program on cornu starts: their keras is cornu too.

It stands before a `sitecustomize` of the environment's own, which is run afterwards.
"""

import importlib.machinery
import importlib.util
import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))


def _run(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _elsewhere(name):
    path = [p for p in sys.path if os.path.abspath(p) != _HERE]
    return importlib.machinery.PathFinder.find_spec(name, path)


if _elsewhere("cornu"):  # another environment's Python may have none
    _run("_cornu_finder", os.path.join(os.path.dirname(_HERE), "finder.py")).install()
if (_own := _elsewhere("sitecustomize")) and _own.origin:
    _run("sitecustomize", _own.origin)
