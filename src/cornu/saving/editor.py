"""KerasFileEditor: look into a file's weights, compare them with a model, change them, and write them anew."""

import os

import numpy as np

from cornu.layers.layer import Layer
from cornu.saving.safe import open_weights, read_h5, read_json, read_members
from cornu.saving.weights import weights_of, write_arrays


class KerasFileEditor:
    """An editor for the weights in a `.keras` or `.weights.h5` file.

    Args:
        filepath: the file. It is not changed: `save` writes a new one.

    Objects are named by their path (`layers/dense`) or, where that is clear, by its last part.

    Raises ValueError for another kind of file, and for names that the file does not have.

    >>> import tempfile
    >>> from cornu.layers import Dense, Input
    >>> from cornu.models import Sequential
    >>> path = tempfile.mkdtemp() + "/m.weights.h5"
    >>> Sequential([Input((3,)), Dense(2)]).save_weights(path)
    >>> editor = KerasFileEditor(path)
    >>> editor.rename_object("dense", "first")
    >>> list(editor.weights_dict["layers"])
    ['first']
    """

    def __init__(self, filepath):
        self.filepath, self.metadata, self.config, self.model = os.fspath(filepath), None, None, None
        if self.filepath.endswith(".keras"):
            members = read_members(self.filepath)
            self.metadata, self.config = (read_json(self.filepath, members[n]) for n in ("metadata.json", "config.json"))
            source = members["model.weights.h5"]
        elif self.filepath.endswith(".weights.h5"):
            source = open_weights(self.filepath)
        else:
            raise ValueError(f"KerasFileEditor opens .keras and .weights.h5 files. Received: {self.filepath!r}")
        source.verify()
        root = read_h5(source, self.filepath)
        self._objects: dict = {}  # path -> {number: array}
        self._names: dict = {}  # path -> the name that the file gives the object
        self._moved = False
        self._read(root, "")
        self._print(f"Keras model file {self.filepath!r}")
        if self.metadata:
            self._print(f"Saved with Keras {self.metadata.get('keras_version')} - date: {self.metadata.get('date_saved')}")

    def _read(self, group, path) -> None:
        for key, item in group.items():
            if key == "vars":
                self._objects[path] = {k: np.array(v) for k, v in item.arrays().items()}
                self._names[path] = item.attrs.get("name")
            elif hasattr(item, "arrays"):
                self._read(item, f"{path}/{key}" if path else key)

    def _print(self, *lines) -> None:
        from rich.console import Console

        for line in lines:
            Console(highlight=False, soft_wrap=True).print(line, markup=False)

    @property
    def weights_dict(self) -> dict:
        """The objects as nested dicts; each with weights holds its arrays by number."""
        found: dict = {}
        for path, weights in self._objects.items():
            place = found
            for part in path.split("/") if weights else ():
                place = place.setdefault(part, {}) if part else place
            place.update(weights)
        return found

    def summary(self) -> None:
        """Print the tree of objects with their weights' shapes and dtypes."""
        from rich.tree import Tree

        tree = Tree("Weights structure")
        self._grow(tree, self.weights_dict)
        from rich.console import Console

        Console(highlight=False).print(tree)

    def _grow(self, tree, below) -> None:
        from rich.markup import escape

        for key, value in below.items():
            if isinstance(value, dict):
                self._grow(tree.add(escape(key)), value)
            else:
                tree.add(escape(f"{key}: shape={value.shape}, dtype={value.dtype.name}"))

    def compare(self, reference_model: Layer) -> dict:
        """Print where the file and a model differ; gives {"status", "error_count", "match_count"}."""
        own = {k: v for k, v in weights_of(reference_model)["arrays"].items() if not k.startswith("optimizer/")}
        model: dict = {}
        for key, value in own.items():
            path, _, number = key.rpartition("/")
            model.setdefault(path.removesuffix("vars").rstrip("/"), {})[number] = tuple(value.shape)
        errors, matches = [], 0
        for path, weights in model.items():
            held = self._objects.get(path)
            if not held:
                errors.append(f"Object {path!r} is in the model, but not in the file. It has the weights {', '.join(weights)}.")
                continue
            for number, shape in weights.items():
                if number not in held:
                    errors.append(f"{path}/{number} is in the model, with shape {shape}, but not in the file.")
                elif held[number].shape != shape:
                    errors.append(f"{path}/{number} has shape {shape} in the model, {held[number].shape} in the file.")
                else:
                    matches += 1
        for path, weights in self._objects.items():
            gone = [n for n in weights if n not in model.get(path, {})]
            if gone and not path.startswith("optimizer"):
                errors.append(f"{path}: the weights {', '.join(gone)} are in the file, but not in the model.")
        self._print(*errors, f"{len(errors)} differences." if errors else f"The file fits the model: {matches} weights match.")
        return {"status": "error" if errors else "success", "error_count": len(errors), "match_count": matches}

    def _find(self, name: str) -> str:
        """The path of an object, or of a group of objects."""
        name = name.strip("/")
        paths = {"/".join(p.split("/")[:i + 1]) for p in self._objects for i in range(p.count("/") + 1)} - {""}
        found = [name] if name in paths else sorted(p for p in paths if p.rpartition("/")[2] == name)
        if len(found) == 1:
            return found[0]
        if found:
            raise ValueError(f"{name!r} may be any of {', '.join(found)}. Give its whole path.")
        raise ValueError(f"{self.filepath} has no object {name!r}. Its objects: {', '.join(sorted(paths)) or 'none'}.")

    def _below(self, path: str) -> list:
        return [p for p in self._objects if p == path or p.startswith(path + "/")]

    def rename_object(self, object_name: str, new_name: str) -> None:
        """Give an object (with all that is in it) another last part of its path."""
        old = self._find(object_name)
        if not new_name or "/" in new_name or new_name == "vars":
            raise ValueError(f"A new name is one part of a path, without '/'. Received: {new_name!r}")
        new = f"{old.rpartition('/')[0]}/{new_name}".lstrip("/")
        if new != old and self._below(new):
            raise ValueError(f"There is an object {new!r} already. Delete it first.")
        self._moved = True
        moved = {p: new + p[len(old):] for p in self._below(old)}
        self._objects = {moved.get(p, p): w for p, w in self._objects.items()}
        self._names = {moved.get(p, p): n for p, n in self._names.items()}

    def delete_object(self, object_name: str) -> None:
        """Remove an object with all that is in it."""
        for path in self._below(self._find(object_name)):
            del self._objects[path], self._names[path]

    def add_object(self, object_path: str, weights: dict) -> None:
        """Add an object at a new path, with its weights: a dict of "0", "1" ... and arrays."""
        path = object_path.strip("/")
        if not path or any(part in ("", "vars") for part in path.split("/")):
            raise ValueError(f"An object's path is like 'layers/dense'. Received: {object_path!r}")
        if self._below(path):
            raise ValueError(f"There is an object {path!r} already. Use add_weights, or delete it first.")
        self._objects[path], self._names[path] = _checked(weights), path.rpartition("/")[2]

    def add_weights(self, object_name: str, weights: dict) -> None:
        """Add weights to an object, or replace those of the same numbers."""
        path = self._find(object_name)
        self._objects.setdefault(path, {}).update(_checked(weights))
        self._names.setdefault(path, path.rpartition("/")[2])

    def delete_weight(self, object_name: str, weight_name: str) -> None:
        """Remove one weight of an object."""
        path = self._find(object_name)
        held = self._objects.get(path, {})
        if str(weight_name) not in held:
            raise ValueError(f"Object {path!r} has no weight {weight_name!r}. It has: {', '.join(held) or 'none'}.")
        del held[str(weight_name)]

    def save(self, filepath) -> None:
        """Write the weights as they are now into a new `.weights.h5` file, whole or not at all."""
        path = os.fspath(filepath)
        if not path.endswith(".weights.h5"):
            raise ValueError(f"KerasFileEditor.save: the file's name must end with .weights.h5. Received: {path!r}")
        # Who moves objects means the places: the old names, which `load_weights` compares, would be against them.
        told = {} if self._moved else self._names
        groups = {f"{p}/vars".lstrip("/"): {"name": told[p]} if isinstance(told.get(p), str) else {} for p in self._objects}
        arrays = {f"{p}/vars/{k}".lstrip("/"): v for p, weights in self._objects.items() for k, v in weights.items()}
        write_arrays(groups, arrays, path)

    def resave_weights(self, filepath) -> None:
        """The same as `save`."""
        self.save(filepath)


def _checked(weights: dict) -> dict:
    if not isinstance(weights, dict):
        raise ValueError(f"Weights are a dict of names and arrays. Received: {weights!r:.80}")
    found = {}
    for key, value in weights.items():
        array = np.asarray(getattr(value, "raw", value))
        if not isinstance(key, str) or "/" in key or not key or array.dtype.kind not in "fiubV":
            raise ValueError(f"Weights are a dict of names and arrays of numbers. Received: {key!r}: {value!r:.80}")
        found[key] = array
    return found
