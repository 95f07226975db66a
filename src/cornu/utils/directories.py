"""Data sets from folders of files: images, texts and sounds, read batch by batch."""

import pathlib
import wave

import numpy as np

from cornu import check, config, frames
from cornu.random import make_default_seed
from cornu.utils.images import img_to_array, load_img
from cornu.utils.splitting import Batches

_IMAGES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp")


class _Files:
    """Files by their number, each read by a function when it is asked for."""

    def __init__(self, paths: list, read):
        self.paths, self.read = paths, read

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, rows):
        found = [self.read(path) for path in np.asarray(self.paths, object)[rows]]
        if found and getattr(found[0], "ndim", 0) and len({len(x) for x in found}) > 1:  # sounds of different lengths
            longest = max(map(len, found))
            found = [np.pad(x, [(0, longest - len(x))] + [(0, 0)] * (x.ndim - 1)) for x in found]
        return np.stack(found) if found and hasattr(found[0], "shape") else np.array(found, object)


def _dataset(directory, labels, label_mode, class_names, endings, read, batch_size, shuffle, seed, validation_split,
             subset, follow_links, verbose):
    """The Batches of a folder; for subset="both" a pair of them."""
    _check(labels, label_mode, class_names, validation_split, subset, shuffle, seed)
    root = pathlib.Path(directory)
    if not root.is_dir():
        raise ValueError(f"There is no folder {str(directory)!r}.")
    found = sorted(p.name for p in root.iterdir() if p.is_dir())
    if labels == "inferred":
        if class_names is not None and set(class_names) != set(found):
            raise ValueError(f"class_names must be the names of the folders, {found}. Received: {class_names}")
        names = list(class_names or found)
        files = [(path, number) for number, name in enumerate(names) for path in _walk(root / name, endings, follow_links)]
    else:
        names, files = class_names, [(path, 0) for path in _walk(root, endings, follow_links)]
        if labels is not None and len(labels) != len(files):
            raise ValueError(f"There are {len(labels)} labels, but {len(files)} files in {str(directory)!r}.")
        files = [(p, n) for (p, _), n in zip(files, labels if labels is not None else [0] * len(files))]
    if not files:
        raise ValueError(f"No files ending in {', '.join(endings)} were found in {str(directory)!r}.")
    if label_mode == "binary" and names is not None and len(names) != 2:
        raise ValueError(f'label_mode="binary" needs two classes; the folder has {len(names)}: {names}.')
    seed = make_default_seed() if seed is None else seed
    if shuffle:
        files = [files[i] for i in np.random.default_rng(seed).permutation(len(files))]
    if verbose:
        print(f"Found {len(files)} files" + (f" of {len(names)} classes." if names and labels is not None else "."))
    cut = len(files) - int((validation_split or 0) * len(files))
    groups = {"training": [files[:cut]], "validation": [files[cut:]], "both": [files[:cut], files[cut:]], None: [files]}[subset]
    made = [_batches(group, read, labels, label_mode, names, batch_size, shuffle and (i == 0 and subset != "validation"), seed)
            for i, group in enumerate(groups)]
    return tuple(made) if subset == "both" else made[0]


def _check(labels, label_mode, class_names, validation_split, subset, shuffle, seed) -> None:
    check.one_of("label_mode", label_mode, ("int", "categorical", "binary", None))
    check.one_of("subset", subset, (None, "training", "validation", "both"))
    if isinstance(labels, str) and labels != "inferred":
        raise ValueError(f'labels is "inferred", a list, or None. Received: {labels!r}')
    if class_names is not None and labels != "inferred":
        raise ValueError('class_names can be given only with labels="inferred".')
    if (validation_split is None) != (subset is None):
        raise ValueError("validation_split and subset belong together: give both or neither.")
    if validation_split is not None:
        check.between("validation_split", validation_split, 0, 1)
        if shuffle and seed is None:
            raise ValueError("With a validation_split and shuffle=True give a seed, so that the two parts do not overlap.")


def _walk(folder: pathlib.Path, endings, follow_links) -> list:
    import os

    return sorted(str(pathlib.Path(where) / name) for where, _, names in os.walk(folder, followlinks=follow_links)
                  for name in names if name.lower().endswith(endings))


def _batches(files, read, labels, label_mode, names, batch_size, shuffle, seed) -> Batches:
    parts = _Files([path for path, _ in files], read)
    if label_mode is not None and labels is not None:
        numbers = np.array([number for _, number in files])
        if label_mode == "binary":
            numbers = numbers.astype("float32").reshape(-1, 1)
        elif label_mode == "categorical":
            numbers = np.eye(len(names or set(numbers.tolist())), dtype="float32")[numbers]
        else:
            numbers = numbers.astype("int32")
        parts = (parts, numbers)
    made = Batches(parts, batch_size, shuffle, seed)
    made.class_names, made.file_paths = names, [path for path, _ in files]
    return made


@frames.filtered
def image_dataset_from_directory(directory, labels="inferred", label_mode: str | None = "int", class_names=None,
                                 color_mode: str = "rgb", batch_size: int | None = 32, image_size=(256, 256),
                                 shuffle: bool = True, seed: int | None = None, validation_split: float | None = None,
                                 subset: str | None = None, interpolation: str = "bilinear", follow_links: bool = False,
                                 crop_to_aspect_ratio: bool = False, pad_to_aspect_ratio: bool = False,
                                 data_format: str | None = None, format: str = "tf", verbose: bool = True):
    """Images from a folder with one subfolder per class: batches (images, labels) of NumPy arrays.

    Args:
        directory: the folder.
        labels: "inferred" from the subfolders, a list with one per file (in alphabetical order), or None.
        label_mode: "int", "categorical" (one-hot), "binary" (0.0 or 1.0), or None for images alone.
        class_names: the subfolders in the order in which they are to be numbered.
        color_mode: "rgb", "rgba" or "grayscale".
        batch_size: images in a batch; None for single ones.
        image_size: (height, width) that all are brought to.
        shuffle, seed: whether every pass has an order of its own, and its seed.
        validation_split, subset: the share kept back, and which part to give: "training", "validation" or "both".
        interpolation: how sizes are changed, as for `load_img`.
        follow_links: whether links to folders are followed.
        crop_to_aspect_ratio: cut images to the target's shape instead of stretching them.
        pad_to_aspect_ratio: put black borders round them instead.
        data_format: "channels_last" or "channels_first".
        format: kept for Keras's interface; batches are NumPy arrays.
        verbose: whether to say how many files were found.

    Raises ValueError for a folder without such files, and for arguments that do not fit together.
    """
    check.one_of("format", format, ("tf", "grain"))
    if crop_to_aspect_ratio and pad_to_aspect_ratio:
        raise ValueError("Give either crop_to_aspect_ratio or pad_to_aspect_ratio, not both.")
    data_format = config.standardize_data_format(data_format)
    size = check.int_tuple("image_size", image_size, 2)

    def read(path):
        if not pad_to_aspect_ratio:
            return img_to_array(load_img(path, color_mode, size, interpolation, crop_to_aspect_ratio), data_format)
        image = load_img(path, color_mode)
        share = min(size[0] / image.height, size[1] / image.width)
        inner = (max(1, round(image.height * share)), max(1, round(image.width * share)))
        x = img_to_array(load_img(path, color_mode, inner, interpolation), "channels_last")
        rest = [(s - i) // 2 for s, i in zip(size, inner)]
        x = np.pad(x, [(r, s - i - r) for r, s, i in zip(rest, size, inner)] + [(0, 0)])
        return np.transpose(x, (2, 0, 1)) if data_format == "channels_first" else x

    return _dataset(directory, labels, label_mode, class_names, _IMAGES, read, batch_size, shuffle, seed, validation_split,
                    subset, follow_links, verbose)


@frames.filtered
def text_dataset_from_directory(directory, labels="inferred", label_mode: str | None = "int", class_names=None,
                                batch_size: int | None = 32, max_length: int | None = None, shuffle: bool = True,
                                seed: int | None = None, validation_split: float | None = None, subset: str | None = None,
                                follow_links: bool = False, format: str = "tf", verbose: bool = True):
    """Texts (.txt, UTF-8) from a folder with one subfolder per class: batches (strings, labels).

    Args:
        max_length: cut texts after so many characters; whole texts if None.
        directory, labels, label_mode, class_names, batch_size, shuffle, seed, validation_split, subset, follow_links,
            format, verbose: as for `image_dataset_from_directory`.
    """
    check.one_of("format", format, ("tf", "grain"))

    def read(path):
        return pathlib.Path(path).read_text(encoding="utf-8", errors="replace")[:max_length]

    return _dataset(directory, labels, label_mode, class_names, (".txt",), read, batch_size, shuffle, seed, validation_split,
                    subset, follow_links, verbose)


@frames.filtered
def audio_dataset_from_directory(directory, labels="inferred", label_mode: str | None = "int", class_names=None,
                                 batch_size: int | None = 32, sampling_rate: int | None = None,
                                 output_sequence_length: int | None = None, ragged: bool = False, shuffle: bool = True,
                                 seed: int | None = None, validation_split: float | None = None, subset: str | None = None,
                                 follow_links: bool = False, verbose: bool = True):
    """Sounds (.wav) from a folder with one subfolder per class: batches (samples in -1 ... 1, labels).

    Args:
        sampling_rate: samples per second that all must have; anything if None.
        output_sequence_length: cut or fill with zeros to so many samples; by default the longest of a batch.
        ragged: must be False: batches are arrays.
        directory, labels, label_mode, class_names, batch_size, shuffle, seed, validation_split, subset, follow_links,
            verbose: as for `image_dataset_from_directory`.
    """
    if ragged:
        raise ValueError("audio_dataset_from_directory: JAX has no ragged tensors; short sounds are filled with zeros.")

    def read(path):
        x = read_wave(path, sampling_rate)
        if output_sequence_length is None:
            return x
        return np.pad(x[:output_sequence_length], [(0, max(0, output_sequence_length - len(x))), (0, 0)])

    return _dataset(directory, labels, label_mode, class_names, (".wav",), read, batch_size, shuffle, seed, validation_split,
                    subset, follow_links, verbose)


def read_wave(path, sampling_rate: int | None = None) -> np.ndarray:
    """The samples of a WAV file (8, 16 or 32 bits) as floats in -1 ... 1, of shape (time, channels)."""
    with wave.open(str(path), "rb") as file:
        rate, width, channels = file.getframerate(), file.getsampwidth(), file.getnchannels()
        raw = file.readframes(file.getnframes())
    if sampling_rate is not None and rate != sampling_rate:
        raise ValueError(f"{path} has {rate} samples per second, not the {sampling_rate} asked for. Convert the file first.")
    if width not in (1, 2, 4):
        raise ValueError(f"{path} has {8 * width} bits per sample; 8, 16 and 32 can be read.")
    x = np.frombuffer(raw, {1: "u1", 2: "<i2", 4: "<i4"}[width]).astype("float32")
    return ((x - 128) / 128 if width == 1 else x / 2 ** (8 * width - 1)).reshape(-1, channels)
