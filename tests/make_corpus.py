"""Model files of many kinds with the numbers that the real packages gave for them: `python tests/make_corpus.py FOLDER`.

FOLDER then holds `keras3/NAME.keras` (every case of tests/corpus.py, and every layer of the layer tables in two of its
configurations) and `keras3_h5/NAME.h5`, each with NAME.npz; and, with `--keras2 PYTHON` (an interpreter with tf_keras),
`keras2.zip` made anew. `--small ZIP` packs the part that is kept in tests/golden.
"""

import argparse
import os
import pathlib
import subprocess
import zipfile

os.environ.setdefault("KERAS_BACKEND", "jax")

import corpus
import numpy as np
from layer_table import ROWS
from layer_table_b import ROWS_B

KEPT = ("several_ends", "nested", "bidirectional", "mixed_float16", "adam_averaged", "stacked_cells", "custom", "frozen")
# Keras's own troubles: its file of the first cannot be read, and it does not train the second.
LEFT_OUT = {"nested_and_shared", "attention"}


def of_row(row):
    """A function of the library that makes a model of one layer of the tables."""
    def build(k):
        shapes = row.shape if isinstance(row.shape, list) else [row.shape]
        inputs = [k.Input(shape=s[1:], dtype="int32" if row.high else "float32") for s in shapes]
        kwargs = {n: v(k) if getattr(getattr(v, "__code__", None), "co_varnames", ()) == ("keras",) else v
                  for n, v in row.kwargs.items()}
        layer = getattr(k.layers, row.name)(**kwargs)
        return k.Model(inputs, layer(inputs if isinstance(row.shape, list) else inputs[0]))

    return build


def layers() -> dict:
    """Name -> function of the library, two for every layer."""
    found, seen = {}, {}
    for row in [*ROWS, *ROWS_B]:
        number = seen.get(row.name, 0)
        if number < 2 and not row.mask and not row.call:
            seen[row.name] = number + 1
            found[f"{row.name}_{number}"] = of_row(row)
    return found


def models() -> dict:
    """Every model that Keras 3 and cornu can make."""
    return {**{n: f for n, f in corpus.CASES.items() if n not in corpus.ONLY_OLD | LEFT_OUT}, **layers()}


def make(k, name, path):
    """Save one model; its numbers."""
    k.utils.clear_session()
    return corpus.record(k, models()[name], str(path))


def main():
    import keras

    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--keras2", help="an interpreter that has tf_keras")
    parser.add_argument("--small", help="where to pack the files that are kept in the repository")
    parser.add_argument("names", nargs="*")
    told = parser.parse_args()
    for folder, ending in (("keras3", ".keras"), ("keras3_h5", ".h5")):
        (told.folder / folder).mkdir(parents=True, exist_ok=True)
        for name in told.names or models():
            if ending == ".h5" and name not in corpus.CASES:
                continue
            try:
                numbers = make(keras, name, told.folder / folder / (name + ending))
            except Exception as error:
                print(f"{folder}/{name}: {type(error).__name__}: {str(error)[:200]}")
                continue
            np.savez(told.folder / folder / (name + ".npz"), **numbers)
    if told.keras2:
        script = pathlib.Path(__file__).parent / "golden" / "make_keras2.py"
        subprocess.run([told.keras2, script, told.folder / "keras2.zip"], check=True)
    if told.small:
        pack(told.folder / "keras3", told.small)
    print(f"{len(list(told.folder.rglob('*.npz')))} models in {told.folder}")


def pack(folder, target):
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in KEPT:
            for ending in (".keras", ".npz"):
                archive.writestr(zipfile.ZipInfo(name + ending), (folder / (name + ending)).read_bytes(), zipfile.ZIP_DEFLATED, 9)


if __name__ == "__main__":
    main()
