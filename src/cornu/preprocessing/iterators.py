"""Batches of changed images for an ImageDataGenerator: from arrays, folders and data frames."""

import os
import threading

import numpy as np

from cornu import config, frames
from cornu.data import PyDataset
from cornu.utils.images import array_to_img, img_to_array, load_img

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".tif", ".tiff")


class Iterator(PyDataset):
    """Batches of indices without end, mixed anew in every epoch; a subclass makes samples of them.

    Args:
        n: how many samples there are.
        batch_size: how many are in a batch; the last one of an epoch may have fewer.
        shuffle: whether they are mixed.
        seed: fixes the order and the changes.
        kwargs: `workers`, `use_multiprocessing`, `max_queue_size` as in `PyDataset`.

    It is a `PyDataset`, and an iterator: `next(it)` goes on for ever.
    """

    def __init__(self, n, batch_size, shuffle, seed, **kwargs):
        super().__init__(**kwargs)
        self.n, self.batch_size, self.shuffle, self.seed = n, batch_size, shuffle, seed
        self.batch_index, self.total_batches_seen = 0, 0
        self.lock, self.index_array = threading.Lock(), None
        self.index_generator = self._flow_index()

    def __getstate__(self):  # what a worker process needs: no lock, and no generator
        return {**self.__dict__, "lock": None, "index_generator": None}

    def __setstate__(self, state):
        self.__dict__.update(state, lock=threading.Lock(), index_generator=self._flow_index())

    def _set_index_array(self):
        self.index_array = np.random.permutation(self.n) if self.shuffle else np.arange(self.n)

    def _reseed(self):
        if self.seed is not None:
            np.random.seed(self.seed + self.total_batches_seen)

    def __len__(self):
        return -(-self.n // self.batch_size)

    def __getitem__(self, idx):
        if idx >= len(self):
            raise ValueError(f"Batch {idx} was asked for, but there are {len(self)}.")
        self._reseed()
        self.total_batches_seen += 1
        if self.index_array is None:
            self._set_index_array()
        first = self.batch_size * idx
        return self._get_batches_of_transformed_samples(
            self.index_array[first : first + self.batch_size]
        )

    def on_epoch_end(self):
        """Mix the samples anew."""
        self._set_index_array()

    def reset(self):
        """Begin with the first batch again."""
        self.batch_index = 0

    def _flow_index(self):
        while True:
            self._reseed()
            if self.batch_index == 0:
                self._set_index_array()
            first = 0 if self.n == 0 else self.batch_index * self.batch_size % self.n
            self.batch_index = self.batch_index + 1 if self.n > first + self.batch_size else 0
            self.total_batches_seen += 1
            yield self.index_array[first : first + self.batch_size]

    def __iter__(self):
        return self

    def __next__(self):
        with self.lock:
            indices = next(self.index_generator)
        return self._get_batches_of_transformed_samples(indices)

    next = __next__

    def _get_batches_of_transformed_samples(self, index_array):
        raise NotImplementedError(
            f"{type(self).__name__} must define _get_batches_of_transformed_samples(index_array)."
        )

    def _save(self, batch, index_array):
        """Write the images of a batch into `save_to_dir`, if there is one."""
        for image, index in zip(batch, index_array, strict=True) if self.save_to_dir else ():
            number = np.random.randint(1e7)
            name = f"{self.save_prefix}_{index}_{number}.{self.save_format}"
            picture = array_to_img(image, self.data_format, scale=True)
            picture.save(os.path.join(self.save_to_dir, name))


class NumpyArrayIterator(Iterator):
    """Batches of changed images from arrays: what `ImageDataGenerator.flow` returns.

    Args:
        x: images (samples, rows, columns, channels), or a pair of these and further arrays, which
            go along unchanged.
        y: targets, or None.
        image_data_generator: what changes the images.
        batch_size, shuffle, seed: as in `Iterator`.
        sample_weight: a weight for each sample, or None.
        data_format: where the channels are.
        save_to_dir, save_prefix, save_format: where changed images are written, or None.
        subset: "training" or "validation", by the generator's `validation_split`.
        ignore_class_split: whether the two parts may have other classes.
        dtype: of the batches.

    Raises ValueError for arrays of other lengths or dimensions.
    """

    def __init__(self, x, y, image_data_generator, batch_size=32, shuffle=False, sample_weight=None,
                 seed=None, data_format=None, save_to_dir=None, save_prefix="", save_format="png",
                 subset=None, ignore_class_split=False, dtype=None):
        data_format = data_format or config.image_data_format()
        self.dtype = dtype or config.floatx()
        misc = []
        if isinstance(x, (tuple, list)):
            misc = [np.asarray(part) for part in (x[1] if isinstance(x[1], list) else [x[1]])]
            x = x[0]
        arrays = [np.asarray(x), None if y is None else np.asarray(y),
                  None if sample_weight is None else np.asarray(sample_weight), *misc]
        for array in arrays[1:]:
            if array is not None and len(array) != len(x):
                raise ValueError(
                    "Images, targets, weights and further arrays have one length. Received: "
                    f"{[None if a is None else len(a) for a in arrays]}"
                )
        if subset is not None:
            arrays = self._part(arrays, subset, image_data_generator, ignore_class_split)
        self.x, self.y, self.sample_weight, *self.x_misc = arrays
        self.x = self.x.astype(self.dtype, copy=False)
        if self.x.ndim != 4:
            raise ValueError(
                "Images are an array of four dimensions, the samples first. Received shape: "
                f"{self.x.shape}"
            )
        self.image_data_generator, self.data_format = image_data_generator, data_format
        self.save_to_dir, self.save_prefix, self.save_format = save_to_dir, save_prefix, save_format
        super().__init__(len(self.x), batch_size, shuffle, seed)

    def _part(self, arrays, subset, generator, ignore):
        if subset not in ("training", "validation"):
            raise ValueError(f"subset is 'training' or 'validation'. Received: {subset!r}")
        split, y = int(len(arrays[0]) * generator._validation_split), arrays[1]
        if y is not None and not ignore and not np.array_equal(
            np.unique(y[:split]), np.unique(y[split:])
        ):
            raise ValueError(
                "The training and the validation part have other classes. If the samples are "
                "sorted by class, mix them first; or pass ignore_class_split=True."
            )
        where = slice(None, split) if subset == "validation" else slice(split, None)
        return [None if a is None else a[where] for a in arrays]

    def _get_batches_of_transformed_samples(self, index_array):
        generator, images = self.image_data_generator, []
        for i in index_array:
            params = generator.get_random_transform(self.x.shape[1:])
            image = generator.apply_transform(self.x[i].astype(self.dtype), params)
            images.append(generator.standardize(image))
        batch = np.array(images, self.dtype).reshape(-1, *self.x.shape[1:])
        self._save(batch, index_array)
        first = [batch, *(m[index_array] for m in self.x_misc)] if self.x_misc else batch
        if self.y is None:
            return first
        weights = () if self.sample_weight is None else (self.sample_weight[index_array],)
        return (first, self.y[index_array], *weights)


class FilesIterator(Iterator):
    """What iterators over image files have in common; a subclass sets `filepaths`, `labels` ..."""

    sample_weight = None

    def _set_up(self, generator, target_size, color_mode, data_format, save_to_dir, save_prefix,
                save_format, subset, interpolation, keep_aspect_ratio, dtype):
        self.image_data_generator, self.target_size = generator, tuple(target_size)
        self.data_format = data_format or generator.data_format or config.image_data_format()
        channels = {"rgb": 3, "rgba": 4, "grayscale": 1}
        if color_mode not in channels:
            raise ValueError(f"color_mode is one of {sorted(channels)}. Received: {color_mode!r}")
        if subset not in (None, "training", "validation"):
            raise ValueError(f"subset is 'training' or 'validation'. Received: {subset!r}")
        self.color_mode, self.interpolation = color_mode, interpolation
        last = self.data_format == "channels_last"
        count = (channels[color_mode],)
        self.image_shape = self.target_size + count if last else count + self.target_size
        self.save_to_dir, self.save_prefix, self.save_format = save_to_dir, save_prefix, save_format
        self.keep_aspect_ratio, self.subset = keep_aspect_ratio, subset
        self.dtype = dtype or config.floatx()
        split = generator._validation_split
        bounds = {"validation": (0, split), "training": (split, 1)}
        self.split = bounds.get(subset)

    def _within(self, items):
        """The part of the items that belongs to the subset."""
        if self.split is None:
            return items
        return items[int(self.split[0] * len(items)) : int(self.split[1] * len(items))]

    def _get_batches_of_transformed_samples(self, index_array):
        generator = self.image_data_generator
        batch = np.zeros((len(index_array), *self.image_shape), self.dtype)
        for place, i in enumerate(index_array):
            picture = load_img(self.filepaths[i], color_mode=self.color_mode,
                               target_size=self.target_size, interpolation=self.interpolation,
                               keep_aspect_ratio=self.keep_aspect_ratio)
            image = img_to_array(picture, self.data_format)
            params = generator.get_random_transform(image.shape)
            batch[place] = generator.standardize(generator.apply_transform(image, params))
        self._save(batch, index_array)
        targets = self._targets(batch, index_array)
        if targets is None:
            return batch
        weights = () if self.sample_weight is None else (self.sample_weight[index_array],)
        return (batch, targets, *weights)

    def _targets(self, batch, index_array):
        if self.class_mode is None:
            return None
        if self.class_mode == "input":
            return batch.copy()
        if self.class_mode == "multi_output":
            return tuple(output[index_array] for output in self.labels)
        if self.class_mode in ("sparse", "binary"):
            return np.asarray(self.labels)[index_array].astype(self.dtype)
        if self.class_mode == "raw":
            return self.labels[index_array]
        rows = np.zeros((len(index_array), len(self.class_indices)), self.dtype)
        for row, i in zip(rows, index_array, strict=True):
            row[self.labels[i]] = 1  # one number, or several
        return rows


class DirectoryIterator(FilesIterator):
    """Batches of changed images from folders: what `flow_from_directory` returns.

    Args:
        directory: a folder that has a folder for each class.
        image_data_generator: what changes the images.
        target_size: rows and columns.
        color_mode: "rgb", "rgba" or "grayscale".
        classes: the folders, in the order of their numbers; by default all, sorted.
        class_mode: "categorical", "binary", "sparse", "input" or None: what the targets are.
        batch_size, shuffle, seed: as in `Iterator`.
        data_format, save_to_dir, save_prefix, save_format, subset, dtype: as in
            `NumpyArrayIterator`; each class is split by itself.
        follow_links: whether links to folders are followed.
        interpolation, keep_aspect_ratio: as in `utils.load_img`.

    `filenames`, `filepaths`, `classes` (of each file), `class_indices`, `samples` tell what was
    found. Raises ValueError for another class_mode.
    """

    def __init__(self, directory, image_data_generator, target_size=(256, 256), color_mode="rgb",
                 classes=None, class_mode="categorical", batch_size=32, shuffle=True, seed=None,
                 data_format=None, save_to_dir=None, save_prefix="", save_format="png",
                 follow_links=False, subset=None, interpolation="nearest", keep_aspect_ratio=False,
                 dtype=None):
        self._set_up(image_data_generator, target_size, color_mode, data_format, save_to_dir,
                     save_prefix, save_format, subset, interpolation, keep_aspect_ratio, dtype)
        modes = ("categorical", "binary", "sparse", "input", None)
        if class_mode not in modes:
            raise ValueError(f"class_mode is one of {modes}. Received: {class_mode!r}")
        self.directory, self.class_mode = directory, class_mode
        classes = list(classes or sorted(f.name for f in os.scandir(directory) if f.is_dir()))
        self.num_classes = len(classes)
        self.class_indices = {name: i for i, name in enumerate(classes)}
        found = [self._within(self._files(name, follow_links)) for name in classes]
        self.filenames = [os.path.relpath(path, directory) for paths in found for path in paths]
        self.classes = np.repeat(np.arange(len(classes), dtype="int32"), [len(p) for p in found])
        self.labels, self.samples = self.classes, len(self.filenames)
        self._filepaths = [os.path.join(directory, name) for name in self.filenames]
        print(f"Found {self.samples} images belonging to {self.num_classes} classes.")
        super().__init__(self.samples, batch_size, shuffle, seed)

    filepaths = property(lambda self: self._filepaths)

    def _files(self, name, follow_links):
        walk = os.walk(os.path.join(self.directory, name), followlinks=follow_links)
        return [os.path.join(folder, file) for folder, _, files in sorted(walk)
                for file in sorted(files) if file.lower().endswith(ENDINGS)]


class DataFrameIterator(FilesIterator):
    """Batches of changed images from a pandas frame: what `flow_from_dataframe` returns.

    Args:
        dataframe: a row for each image.
        directory: where the files lie, or None where `x_col` has whole paths.
        image_data_generator: what changes the images.
        x_col, y_col: the columns of the file names, and of the targets (a list for several).
        weight_col: the column of sample weights, or None.
        target_size, color_mode, data_format, save_to_dir, save_prefix, save_format, subset,
            interpolation, keep_aspect_ratio, dtype, batch_size, shuffle, seed: as in
            `DirectoryIterator`.
        classes: the classes in the order of their numbers; by default all, sorted.
        class_mode: "categorical", "binary", "sparse", "input", "multi_output", "raw" or None.
        validate_filenames: whether rows without a file are left out, with a warning.

    Raises ValueError for another class_mode, TypeError for a column of the wrong kind.
    """

    def __init__(self, dataframe, directory=None, image_data_generator=None, x_col="filename",
                 y_col="class", weight_col=None, target_size=(256, 256), color_mode="rgb",
                 classes=None, class_mode="categorical", batch_size=32, shuffle=True, seed=None,
                 data_format=None, save_to_dir=None, save_prefix="", save_format="png", subset=None,
                 interpolation="nearest", keep_aspect_ratio=False, dtype=None,
                 validate_filenames=True):
        self._set_up(image_data_generator, target_size, color_mode, data_format, save_to_dir,
                     save_prefix, save_format, subset, interpolation, keep_aspect_ratio, dtype)
        self.directory, self.class_mode = directory or "", class_mode
        frame = dataframe.copy()
        self._check(frame, x_col, y_col, weight_col, classes)
        if validate_filenames:
            frame = self._existing(frame, x_col)
        if class_mode in ("categorical", "binary", "sparse"):
            frame = self._with_classes(frame, y_col, classes)
        frame = frame.iloc[slice(*self._bounds(len(frame)))]
        self.filenames = frame[x_col].tolist()
        self._filepaths = [os.path.join(self.directory, name) for name in self.filenames]
        self.samples = len(self.filenames)
        self.labels = self._labels(frame, y_col)
        self._sample_weight = None if weight_col is None else frame[weight_col].to_numpy()
        told = f" belonging to {len(self.class_indices)} classes" if self._has_classes() else ""
        kind = "validated" if validate_filenames else "non-validated"
        print(f"Found {self.samples} {kind} image filenames{told}.")
        super().__init__(self.samples, batch_size, shuffle, seed)

    filepaths = property(lambda self: self._filepaths)
    sample_weight = property(lambda self: self._sample_weight)

    def _has_classes(self):
        return self.class_mode in ("categorical", "binary", "sparse")

    def _bounds(self, n):
        return (0, n) if self.split is None else (int(self.split[0] * n), int(self.split[1] * n))

    def _check(self, frame, x_col, y_col, weight_col, classes):
        modes = ("binary", "categorical", "input", "multi_output", "raw", "sparse", None)
        if self.class_mode not in modes:
            raise ValueError(f"class_mode is one of {modes}. Received: {self.class_mode!r}")
        if not all(isinstance(name, str) for name in frame[x_col]):
            raise TypeError(f"The column x_col={x_col!r} must hold strings, the names of files.")
        if self.class_mode == "multi_output" and not isinstance(y_col, (list, tuple)):
            raise TypeError(f"class_mode='multi_output' takes a list as y_col. Received: {y_col!r}")
        if classes and self.class_mode not in ("categorical", "binary", "sparse"):
            raise ValueError(f"class_mode={self.class_mode!r} has no classes, but some were given.")
        if weight_col and not np.issubdtype(frame[weight_col].dtype, np.number):
            raise TypeError(f"The column weight_col={weight_col!r} must hold numbers.")
        kinds = (str, list, tuple) if self.class_mode == "categorical" else (str,)
        if self._has_classes() and not all(isinstance(v, kinds) for v in frame[y_col]):
            raise TypeError(
                f"class_mode={self.class_mode!r} needs strings in y_col={y_col!r}"
                f"{' or lists of them' if len(kinds) > 1 else ''}. For numbers: class_mode='raw'."
            )

    def _existing(self, frame, x_col):
        paths = frame[x_col].map(lambda name: os.path.join(self.directory, name))
        kept = paths.map(lambda p: os.path.isfile(p) and p.lower().endswith(ENDINGS)).astype(bool)
        if missing := int((~kept).sum()):
            frames.warn(f"{missing} rows of x_col={x_col!r} name no image file; left out.")
        return frame[kept]

    def _with_classes(self, frame, y_col, classes):
        """Set the classes' numbers; rows of other classes are left out."""
        def every(value):
            return list(value) if isinstance(value, (list, tuple)) else [value]

        names = classes or sorted({c for value in frame[y_col] for c in every(value)})
        if self.class_mode == "binary" and len(names) != 2:
            raise ValueError(f"class_mode='binary' needs two classes. There are: {list(names)}")
        self.class_indices = {name: i for i, name in enumerate(names)}
        if not classes:
            return frame
        frame = frame.copy()
        frame[y_col] = frame[y_col].map(lambda v: [c for c in every(v) if c in self.class_indices])
        frame = frame[frame[y_col].map(len) > 0]
        if self.class_mode != "categorical":
            frame[y_col] = frame[y_col].map(lambda v: v[0])
        return frame

    def _labels(self, frame, y_col):
        if self._has_classes():
            numbers = self.class_indices
            self.classes = [[numbers[c] for c in v] if isinstance(v, (list, tuple)) else numbers[v]
                            for v in frame[y_col]]
            return self.classes
        if self.class_mode == "multi_output":
            return [np.array(frame[column].tolist()) for column in y_col]
        return frame[y_col].to_numpy() if self.class_mode == "raw" else None
