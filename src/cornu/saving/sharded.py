"""Weights in several files of limited size: `NAME.weights.json`, which says where each layer's weights lie, and
`NAME_00000.weights.h5` and so on beside it."""

import json
import os
import re

from cornu.files import writing
from cornu.saving.safe import open_weights, read_h5, read_json
from cornu.saving.view import FileError, View
from cornu.saving.weights import weights_of, write_arrays

_ENDING = ".weights.json"


def save(model, path: str, max_shard_size: float, skipped=()) -> None:
    """Write a model's weights into files of at most `max_shard_size` GB each; the index comes last.

    Raises ValueError for a limit that is not positive, or that a single weight exceeds.
    """
    limit = max_shard_size * 1024 ** 3
    if isinstance(max_shard_size, bool) or not limit > 0:
        raise ValueError(f"save_weights: max_shard_size is a positive number of GB. Received: {max_shard_size!r}")
    told, shards, used = weights_of(model, skipped=skipped), [({}, {})], 0
    for key, value in told["arrays"].items():
        if value.nbytes > limit:
            raise ValueError(f"save_weights: {key} alone has {value.nbytes / 1024 ** 3:.3g} GB, more than "
                             f"max_shard_size={max_shard_size}. Raise the limit.")
        if used + value.nbytes > limit:
            shards.append(({}, {}))
            used = 0
        used += value.nbytes
        group = key.rpartition("/")[0]
        shards[-1][0][group] = {"name": told["groups"][group]}
        shards[-1][1][key] = value
    stem, old = path.removesuffix(_ENDING), _old_shards(path)
    names = [f"{stem}_{i:05d}.weights.h5" for i in range(len(shards))]
    where: dict = {}
    for name, (groups, arrays) in zip(names, shards):
        write_arrays(groups, arrays, name)
        for group in groups:
            where.setdefault("/" + group, []).append(os.path.basename(name))
    size = float(sum(v.nbytes for v in told["arrays"].values()))
    with writing(path) as file:
        file.write(json.dumps({"metadata": {"total_size": size}, "weight_map": where}, indent=4).encode())
    for name in {os.path.join(os.path.dirname(path), n) for n in old} - set(names):
        os.remove(name)


def _old_shards(path) -> list:
    """The shards of an index that is to be replaced."""
    try:
        return [n for n in _index(path)[1] if os.path.isfile(os.path.join(os.path.dirname(path), n))]
    except (OSError, FileError):
        return []


def _index(path) -> tuple[dict, list]:
    """Where each group lies, and the names of all shards. Raises FileError for names that are not this index's own."""
    where = read_json(path, View.open(path)).get("weight_map")
    if not isinstance(where, dict) or not all(isinstance(v, (str, list)) for v in where.values()):
        raise FileError(f"{path} is no index of weights: it has no `weight_map`.")
    where = {k: [v] if isinstance(v, str) else v for k, v in where.items()}
    names = list(dict.fromkeys(n for found in where.values() for n in found))
    stem = os.path.basename(path).removesuffix(_ENDING)
    for name in names:
        if not isinstance(name, str) or not re.fullmatch(re.escape(stem) + r"_\d{5}\.weights\.h5", name):
            raise FileError(f"{path} names a file {name!r:.80}; only {stem}_00000.weights.h5 and so on beside it are opened.")
    return where, names


def read(path: str) -> tuple:
    """The root groups of all shards, and a function that checks them all. Raises FileError where one lacks a part."""
    where, names = _index(path)
    sources = {name: open_weights(os.path.join(os.path.dirname(path), name)) for name in names}
    for source in sources.values():
        source.start_verifying()
    files = {name: read_h5(source, source.shown) for name, source in sources.items()}
    for group, found in where.items():
        for name in found:
            if not any(k.rpartition("/")[0] == group.strip("/") for k in files[name].arrays()):
                raise FileError(f"{path} says that {group!r:.80} lies in {name}, but it does not.")
    return list(files.values()), lambda: [source.verify() for source in sources.values()]
