"""Cases of the layers that read categories and texts, and what the real Keras gives for them, with TensorFlow.

`python tests/text_table.py` writes golden/text_table.json anew; it needs Keras and TensorFlow. Each case is a layer's
name, its arguments, the data it is adapted to (or None), and an input.
"""

import json
import pathlib

import numpy as np

GOLDEN = pathlib.Path(__file__).with_name("golden") / "text_table.json"
LETTERS = [["a", "c", "z"], ["b", "", "a"], ["c", "yy", "c"]]
NUMBERS = [[12, -7, 0], [36, -1, 5], [12, 12, 2**40]]
TEXTS = ["The cat, sat!", "the dog ran\tfar  away", "a cat É é", "", "it's 2\x0bo'clock — \xa0now"]
NEW = ["the cat ran zebra", "", "É dog a dog far away", "IT'S now…"]
LONG = ["word " * n + chr(97 + n) for n in range(30)]


def _lookups(name, vocabulary, mask, values):
    oov = [dict(), dict(num_oov_indices=3), dict(mask_token=mask), dict(mask_token=mask, num_oov_indices=2)]
    oov += [dict(num_oov_indices=3, salt=5), dict(num_oov_indices=2, salt=[3, 4])] if name == "StringLookup" else [
        dict(num_oov_indices=3, oov_method="farmhash"), dict(num_oov_indices=3, oov_method="farmhash", salt=[3, 4])]
    yield from ((name, {**k, "vocabulary": vocabulary}, None, values) for k in oov)
    for mode in ("one_hot", "multi_hot", "count", "tf_idf"):
        weights = dict(idf_weights=[0.5, 0.25, 2.0]) if mode == "tf_idf" else {}
        for k in ({}, dict(mask_token=mask, num_oov_indices=2), dict(max_tokens=9, pad_to_max_tokens=True)):
            yield name, {**k, **weights, "output_mode": mode, "vocabulary": vocabulary}, None, values
            yield name, {**k, "output_mode": mode}, values, values
    yield name, dict(max_tokens=3), values, values
    yield name, dict(output_mode="one_hot"), values, [row[:1] for row in values]
    yield name, dict(output_mode="count"), values, values[0]


def _texts():
    for k in ({}, dict(standardize=None), dict(standardize="lower"), dict(standardize="strip_punctuation"),
              dict(split="character"), dict(split=None), dict(ngrams=2), dict(ngrams=[2, 3]),
              dict(ngrams=2, split="character"), dict(output_sequence_length=3), dict(output_sequence_length=7),
              dict(max_tokens=5), dict(ngrams=3, max_tokens=8), dict(output_mode="multi_hot"),
              dict(output_mode="count"), dict(output_mode="tf_idf"),
              dict(output_mode="tf_idf", max_tokens=20, pad_to_max_tokens=True), dict(output_mode="count", ngrams=2),
              dict(output_mode="count", split="character"), dict(output_mode="multi_hot", split=None)):
        yield "TextVectorization", k, TEXTS, NEW
        yield "TextVectorization", k, TEXTS, [[t] for t in NEW]
    yield "TextVectorization", dict(vocabulary=["cat", "dog"]), None, NEW
    yield "TextVectorization", dict(vocabulary=["cat", "dog"], output_mode="tf_idf", idf_weights=[0.5, 2.0]), None, NEW


CASES = [
    *(("Hashing", {"num_bins": 1000, **k}, None, x) for k in ({}, dict(salt=5), dict(salt=[2**40, -3]))
      for x in (LETTERS, NUMBERS, LONG, ["a" * n for n in range(140)])),
    *(("Hashing", {"num_bins": 5, "mask_value": m}, None, x) for m,
      x in (("a", LETTERS), ("", LETTERS), (12, NUMBERS))),
    *(("Hashing", {"num_bins": 4, "output_mode": m}, None, x) for m in ("one_hot", "multi_hot", "count")
      for x in (LETTERS, NUMBERS, [["a"], ["b"]])),
    *(("HashedCrossing", {"num_bins": n, "output_mode": m}, None, x) for n, m in ((1000, "int"), (5, "one_hot"))
      for x in ((["a", "b"], [1, -2]), ([["a"], ["b"]], [[2**40], [2]]), (LONG, LONG[::-1], list(range(30))))),
    *_lookups("StringLookup", ["c", "a", "d"], "", LETTERS),
    *_lookups("IntegerLookup", [12, 36, 2**40], 0, NUMBERS),
    *_texts(),
    *(("Discretization", dict(num_bins=n, epsilon=e), np.sin(np.arange(m)).tolist(), [[-2.0, 0.1], [0.5, 3.0]])
      for n, m, e in ((4, 10, 0.01), (3, 1000, 0.01), (5, 777, 0.1), (5, 3, 0.01), (20, 10, 0.3))),
    *(("Normalization", k, np.cos(np.arange(24.0)).reshape(4, 3, 2).tolist(), np.arange(12.0).reshape(2, 3, 2).tolist())
      for k in ({}, dict(axis=None), dict(axis=[1, 2]), dict(invert=True))),
]


def inputs_of(case):
    """The input as arrays, as a user would give it."""
    name, value = case[0], case[3]
    return tuple(map(np.asarray, value)) if name == "HashedCrossing" else np.asarray(value)


def run(case, library):
    """The layer's state and output as plain lists."""
    name, kwargs, data, _ = case
    layer = getattr(library.layers, name)(**{k: tuple(v) if k == "ngrams" and isinstance(v, list) else v
                                             for k, v in kwargs.items()})
    if data is not None:
        layer.adapt(np.asarray(data))
    output = np.asarray(layer(inputs_of(case)))
    state = [str(t) for t in layer.get_vocabulary()] if hasattr(layer, "get_vocabulary") else \
        [float(b) for b in getattr(layer, "bin_boundaries", None) or ()]
    return {"state": state, "shape": list(output.shape), "output": output.reshape(-1).tolist()}


if __name__ == "__main__":
    import keras

    GOLDEN.write_text("[\n" + ",\n".join(json.dumps(run(c, keras)) for c in CASES) + "\n]\n")
