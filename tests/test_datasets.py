"""Data sets: the arrays that Keras gives, or a clear error, whatever the sources hold."""

import gzip
import hashlib
import io
import os
import pathlib
import pickle
import struct
import sys
import tarfile

import numpy as np
import pytest

from cornu import config
from cornu.datasets import (boston_housing, california_housing, cifar10, cifar100, fashion_mnist, fetching, imdb, mnist,
                            reading, reuters)
from cornu.utils import downloads

# Readers ---------------------------------------------------------------------------------------------------------


def test_idx():
    assert reading.idx(b"\0\0\x08\x02" + struct.pack(">II", 2, 3) + bytes(range(6))).tolist() == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(ValueError, match="no IDX"):
        reading.idx(b"PK\3\4")


def filtered_png(pixels, kinds):
    """A PNG whose rows use the given filters, after the definitions in the PNG specification (section 9)."""
    import zlib

    height, width, _ = pixels.shape
    lines, above = b"", np.zeros(3 * width, int)
    for row, kind in zip(pixels.reshape(height, -1).astype(int), kinds):
        a, c = (np.concatenate([np.zeros(3, int), line[:-3]]) for line in (row, above))
        p = a + above - c
        far = [abs(p - a), abs(p - above), abs(p - c)]
        paeth = np.select([(far[0] <= far[1]) & (far[0] <= far[2]), far[1] <= far[2]], [a, above], c)
        guess = [0, a, above, (a + above) // 2, paeth][kind]
        lines += bytes([kind]) + ((row - guess) % 256).astype(np.uint8).tobytes()
        above = row
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(struct.pack(">I", len(b)) + k + b + struct.pack(">I", zlib.crc32(k + b))
                                            for k, b in chunks)


def test_png_with_every_filter():
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (40, 17, 3), dtype=np.uint8)
    content = filtered_png(pixels, np.random.default_rng(1).integers(0, 5, 40))
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(content))), pixels)
    np.testing.assert_array_equal(reading.png(content), pixels)


def test_png_as_pillow_writes_it():
    from PIL import Image

    pixels = (np.add.outer(np.arange(50), np.arange(60))[..., None] * [1, 2, 3] % 256).astype(np.uint8)
    Image.fromarray(pixels).save(file := io.BytesIO(), "png")
    np.testing.assert_array_equal(reading.png(file.getvalue()), pixels)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(tmp_path, save):
    arrays = {"a": np.arange(12, dtype=np.uint8).reshape(3, 4), "b": np.linspace(0, 1, 5), "c": np.eye(3, order="F")}
    save(tmp_path / "x.npz", **arrays)
    found = reading.any_npz(tmp_path / "x.npz")
    assert found.keys() == arrays.keys() and all(np.array_equal(found[k], arrays[k]) for k in arrays)


def ragged(*lists):
    array = np.empty(len(lists), object)
    array[:] = lists
    return array


def test_object_npz(tmp_path):
    np.savez(tmp_path / "x.npz", x=ragged([1, 2], [3], []), y=np.array([0, 1, 0]))
    found = reading.object_npz(tmp_path / "x.npz")
    assert found["x"].tolist() == [[1, 2], [3], []] and found["y"].tolist() == [0, 1, 0]


class Evil:
    def __reduce__(self):
        return os.system, ("touch /tmp/cornu_was_here",)


@pytest.mark.parametrize("protocol", range(6))
def test_pickles_cannot_run_code(tmp_path, protocol):
    with pytest.raises(pickle.UnpicklingError, match="refused"):
        reading.cifar_batch(pickle.dumps({b"data": Evil(), b"labels": []}, protocol))
    np.savez(tmp_path / "x.npz", x=ragged(Evil()))
    with pytest.raises(pickle.UnpicklingError, match="refused"):
        reading.object_npz(tmp_path / "x.npz")
    with pytest.raises(ValueError, match="allow_pickle"):
        reading.any_npz(tmp_path / "x.npz")


# Data sets -------------------------------------------------------------------------------------------------------


def offline(monkeypatch):
    """No address answers and no package manager is there."""
    def refuse(url, *args, **kwargs):
        raise downloads.DownloadError(f"Could not fetch {url}: no network")

    monkeypatch.setattr(downloads, "download", refuse)
    monkeypatch.setattr(fetching.shutil, "which", lambda name: None)


ALL = [mnist, fashion_mnist, cifar10, cifar100, imdb, reuters, boston_housing, california_housing]


@pytest.mark.parametrize("module", ALL)
def test_no_source_is_one_clear_error(homes, monkeypatch, module):
    offline(monkeypatch)
    with pytest.raises(downloads.DownloadError) as caught:
        module.load_data()
    message = str(caught.value)
    assert all(part in message for part in ("no network", "not there", "By hand", str(homes / "keras")))
    assert len(message.splitlines()) <= 12


TINY = fetching.Dataset("tiny", {"x": ((2, 2), hashlib.sha256(bytes(range(4))).hexdigest())},
                        (fetching.user_file("tiny.npz", read=reading.npz),), ("nothing", "tiny.npz"))
X = np.arange(4, dtype=np.uint8).reshape(2, 2)


@pytest.mark.parametrize("arrays, message", [
    ({"x": X[::-1]}, "SHA-256"), ({"x": X.astype(int)}, "int64"), ({"x": X.ravel()}, r"\(4,\)"), ({"y": X}, "holds"),
    ({"x": X, "y": X}, "holds"), ({"x": ragged([1], [2])}, "allow_pickle"),
])
def test_other_data_are_never_taken(homes, arrays, message):
    (homes / "keras" / "datasets").mkdir(parents=True)
    np.savez(homes / "keras" / "datasets" / "tiny.npz", **arrays)
    with pytest.raises(downloads.DownloadError, match=message):
        TINY.load()


def test_a_source_is_kept_for_the_next_time(homes):
    (homes / "keras" / "datasets").mkdir(parents=True)
    np.savez_compressed(homes / "keras" / "datasets" / "tiny.npz", x=X)
    assert np.array_equal(TINY.load()["x"], X)
    (homes / "keras" / "datasets" / "tiny.npz").unlink()
    assert np.array_equal(TINY.load()["x"], X)


def test_a_damaged_copy_is_replaced(homes):
    test_a_source_is_kept_for_the_next_time(homes)
    copy = homes / "cornu" / "datasets" / "tiny.npz"
    good = copy.read_bytes()
    for damage in (b"", b"PK\3\4 nothing", good[:-30], good.replace(bytes(range(4)), b"\1\1\1\1")):
        copy.write_bytes(damage)
        np.savez(homes / "keras" / "datasets" / "tiny.npz", x=X)
        assert np.array_equal(TINY.load()["x"], X)


def test_a_file_of_the_user_is_not_replaced(homes):
    np.savez(homes / "mine.npz", x=X + 1)
    with pytest.raises(ValueError, match="not cornu's own"):
        TINY.load(str(homes / "mine.npz"))


def real(module):
    """The arrays of a data set, or a skip where no source can be reached."""
    try:
        return module.load_data()
    except downloads.DownloadError as error:
        pytest.skip(str(error))


# The MD5 of the files of the first releases, as published in many places: the arrays must give those bytes again.
def idx_md5(array):
    head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return hashlib.md5(head + array.tobytes()).hexdigest()


@pytest.mark.parametrize("module, labels, digests", [
    (mnist, [5, 0, 4, 1, 9], ["6bbc9ace898e44ae57da46a324031adb", "a25bea736e30d166cdddb491f175f624",
                              "2646ac647ad5339dbf082846283269ea", "27ae3e4e09519cfbb04c329615203637"]),
    pytest.param(fashion_mnist, [9, 0, 0, 3, 0], [
        "f4a8712d7a061bf5bd6d2ca38dc4d50a", "9018921c3c673c538a1fc5bad174d6f9",
        "8181f5470baa50b63fa0f6fddb340f0a", "15d484375f8d13e6eb1aabb0c3f46965"], marks=pytest.mark.long),
])
def test_mnist_and_fashion_are_the_published_files(module, labels, digests):
    (x, y), (x_test, y_test) = real(module)
    assert y[:5].tolist() == labels
    assert [idx_md5(array) for array in (x, y, x_test, y_test)] == digests


@pytest.mark.long
def test_cifar10_is_the_published_binary_version():
    digests = ["5dd7e06a14cb22eb9f671a540d1b7c25", "5ea93a67294ea407fff1d09f752e9692",
               "942cd6a4bcdd0dd3c604fbe906cb4421", "ae636b3ba5c66a11e91e8cb52e771fcb",
               "53f37980c15c3d472c316c40844f3f0d", "803d5f7f4d78ea53de84dbe85f74fb6d"]
    train, test = real(cifar10)
    x, y = (np.concatenate(pair) for pair in zip(train, test))
    records = np.concatenate([y, x.transpose(0, 3, 1, 2).reshape(len(x), -1)], axis=1)
    assert [hashlib.md5(records[i : i + 10000].tobytes()).hexdigest() for i in range(0, 60000, 10000)] == digests


@pytest.mark.long
@pytest.mark.parametrize("module, source", [(m, i) for m in (mnist, fashion_mnist, cifar10) for i in range(4)])
def test_every_source_by_itself(homes, module, source):
    source, dataset = module.DATASET.sources[source], module.DATASET
    tried = []
    arrays = dataset._try(source, homes / "work", tried)
    if arrays is None:
        pytest.skip(tried[0])
    dataset.verify(arrays)


@pytest.mark.long
@pytest.mark.parametrize("layout", ["cifar-10-batches-py", "cifar-10-batches-py-target/cifar-10-batches-py",
                                    "cifar-10-python.tar.gz"])
def test_cifar10_out_of_the_cache_of_keras(homes, monkeypatch, layout):
    monkeypatch.delenv("CORNU_HOME")
    (x, y), (x_test, y_test) = real(cifar10)
    monkeypatch.setenv("CORNU_HOME", str(homes / "empty"))
    offline(monkeypatch)
    folder = homes / "keras" / "datasets" / layout.removesuffix("-python.tar.gz")
    folder.mkdir(parents=True)
    parts = [(f"data_batch_{i + 1}", x[i * 10000 :][:10000], y[i * 10000 :][:10000]) for i in range(5)]
    for name, images, labels in [*parts, ("test_batch", x_test, y_test)]:
        batch = {b"data": images.transpose(0, 3, 1, 2).reshape(-1, 3072), b"labels": labels.ravel().tolist()}
        (folder / name).write_bytes(pickle.dumps(batch, 3))
    if layout.endswith(".tar.gz"):
        with tarfile.open(folder.parent / layout, "w:gz", compresslevel=1) as archive:
            archive.add(folder, "cifar-10-batches-py")
    (found, labels), _ = cifar10.load_data()
    assert np.array_equal(found, x) and np.array_equal(labels, y)


@pytest.mark.long
def test_fashion_mnist_as_the_real_keras_reads_it(homes, monkeypatch):
    import keras

    monkeypatch.delenv("CORNU_HOME")
    ours = real(fashion_mnist)
    folder = homes / "fashion-mnist"
    folder.mkdir()
    for name, array in zip(mnist.IDX_FILES, (ours[0][0], ours[0][1], ours[1][0], ours[1][1])):
        head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
        (folder / f"{name}.gz").write_bytes(gzip.compress(head + array.tobytes(), 1))
    monkeypatch.setattr(sys.modules[keras.datasets.fashion_mnist.load_data.__module__], "get_file",
                        lambda name, **_: str(folder / name))
    theirs = keras.datasets.fashion_mnist.load_data()
    monkeypatch.setenv("CORNU_HOME", str(homes / "empty"))
    found = fashion_mnist._read(folder)
    for a, b in zip((found[n] for n in mnist.NAMES), (theirs[0][0], theirs[0][1], theirs[1][0], theirs[1][1])):
        assert a.dtype == b.dtype and np.array_equal(a, b)


# Small files in the formats of the real ones, read by the real Keras and by cornu ----------------------------------


def both(module, path, monkeypatch, **options):
    """What the real Keras and cornu make of one file."""
    import keras

    theirs = getattr(keras.datasets, module.__name__.rpartition(".")[2]).load_data
    monkeypatch.setattr(sys.modules[theirs.__module__], "get_file", lambda *a, **k: str(path))
    monkeypatch.setattr(fetching, "known_file", lambda *a, **k: pathlib.Path(path))
    return theirs(**options), module.load_data(**options)


def assert_same(theirs, ours):
    for a, b in zip((a for pair in theirs for a in pair), (b for pair in ours for b in pair)):
        assert a.dtype == b.dtype and a.shape == b.shape
        assert a.tolist() == b.tolist()


OPTIONS = [{}, {"num_words": 30}, {"skip_top": 10}, {"num_words": 40, "skip_top": 5, "oov_char": None}, {"maxlen": 12},
           {"seed": 7}, {"start_char": None}, {"start_char": None, "index_from": None}, {"index_from": 0},
           {"oov_char": 0}, {"start_char": 5, "index_from": 9, "maxlen": 15, "num_words": 25}]


def sentences(n, seed):
    rng = np.random.default_rng(seed)
    return ragged(*[rng.integers(1, 60, rng.integers(1, 20)).tolist() for _ in range(n)])


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.filterwarnings("ignore")
def test_imdb_options(tmp_path, monkeypatch, options):
    labels = np.arange(30) % 2
    np.savez(tmp_path / "x.npz", x_train=sentences(30, 0), y_train=labels, x_test=sentences(30, 1), y_test=labels)
    assert_same(*both(imdb, tmp_path / "x.npz", monkeypatch, **options))


@pytest.mark.parametrize("options", [*OPTIONS, {"test_split": 0.37}], ids=str)
@pytest.mark.filterwarnings("ignore")
def test_reuters_options(tmp_path, monkeypatch, options):
    np.savez(tmp_path / "x.npz", x=sentences(40, 2), y=np.arange(40) % 46)
    assert_same(*both(reuters, tmp_path / "x.npz", monkeypatch, **options))


def test_maxlen_that_nothing_meets(tmp_path, monkeypatch):
    np.savez(tmp_path / "x.npz", x=sentences(5, 0), y=np.arange(5))
    monkeypatch.setattr(fetching, "known_file", lambda *a, **k: tmp_path / "x.npz")
    with pytest.raises(ValueError, match="larger maxlen"):
        reuters.load_data(maxlen=1)


@pytest.mark.parametrize("options", [{}, {"test_split": 0.5}, {"seed": 1}, {"test_split": 0}])
def test_boston_options(tmp_path, monkeypatch, options):
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(0).normal(size=(50, 13)), y=np.arange(50.0))
    assert_same(*both(boston_housing, tmp_path / "x.npz", monkeypatch, **options))


@pytest.mark.parametrize("options", [{}, {"version": "small"}, {"version": "small", "seed": 3, "test_split": 0.1}])
def test_california_options(tmp_path, monkeypatch, options):
    x = np.random.default_rng(0).normal(size=(900, 8)).astype("f")
    np.savez(tmp_path / "x.npz", x=x, y=np.arange(900, dtype="f"))
    assert_same(*both(california_housing, tmp_path / "x.npz", monkeypatch, **options))


@pytest.mark.parametrize("call", [
    lambda: boston_housing.load_data(test_split=1.0), lambda: california_housing.load_data("big"),
    lambda: california_housing.load_data(test_split=-1), lambda: cifar100.load_data("rough")])
def test_bad_arguments(call):
    with pytest.raises(ValueError, match="must be"):
        call()


@pytest.fixture
def cifar100_files(tmp_path):
    rng = np.random.default_rng(0)
    for name, n in (("train", 50), ("test", 10)):
        batch = {b"data": rng.integers(0, 256, (n, 3072), dtype=np.uint8),
                 b"fine_labels": rng.integers(0, 100, n).tolist(), b"coarse_labels": rng.integers(0, 20, n).tolist()}
        (tmp_path / "cifar-100-python").mkdir(exist_ok=True)
        (tmp_path / "cifar-100-python" / name).write_bytes(pickle.dumps(batch, 3))
    return tmp_path


@pytest.mark.parametrize("mode", ["fine", "coarse"])
@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
def test_cifar100_options(cifar100_files, monkeypatch, mode, layout):
    import keras

    monkeypatch.setattr(config, "image_data_format", lambda: layout)
    monkeypatch.setattr(cifar100, "_folder_or_archive", lambda: cifar100_files / "cifar-100-python")
    keras.config.set_image_data_format(layout)
    try:
        assert_same(*both(cifar100, cifar100_files, monkeypatch, label_mode=mode))
    finally:
        keras.config.set_image_data_format("channels_last")


def test_label_names():
    import keras

    assert reuters.get_label_names() == keras.datasets.reuters.get_label_names()
