"""Make tests/golden/keras2.zip with the real Keras 2: `python make_keras2.py` where tf_keras and TensorFlow are installed.

For every case of tests/corpus.py it holds `<name>.h5`, a whole model after two training steps where it is compiled, and
`<name>.npz`: inputs x0 ..., targets t0 ..., outputs y0 ..., and the losses of the next three training steps.
"""

import io
import os
import pathlib
import sys
import tempfile
import zipfile

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import corpus  # noqa: E402
import numpy as np  # noqa: E402
import tf_keras  # noqa: E402


# Its Nadam multiplies the product of momenta once for every variable (since 2.11), or has other momenta (before).
NO_LOSSES = {"nadam", "legacy_nadam"}


def make(name, folder):
    """One model: its file's bytes and its numbers."""
    tf_keras.backend.clear_session()
    path = os.path.join(folder, "m.h5")
    packed = io.BytesIO()
    np.savez(packed, **corpus.record(tf_keras, corpus.CASES[name], path, name not in NO_LOSSES))
    return pathlib.Path(path).read_bytes(), packed.getvalue()


def main(target):
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive, tempfile.TemporaryDirectory() as folder:
        for name in corpus.CASES:
            try:
                model, numbers = make(name, folder)
            except Exception as error:
                print(f"{name}: {type(error).__name__}: {str(error)[:300]}")
                continue
            archive.writestr(zipfile.ZipInfo(f"{name}.h5"), model, zipfile.ZIP_DEFLATED, 9)
            archive.writestr(zipfile.ZipInfo(f"{name}.npz"), numbers, zipfile.ZIP_DEFLATED, 9)
    print(f"{target}: {os.path.getsize(target)} bytes")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else HERE / "keras2.zip")
