"""Settings of the whole process: default dtype, epsilon, image layout, home folder, device."""

import atexit
import functools
import json
import os
import pathlib
import shutil
import tempfile

from cornu import check, frames

_FLOATS = ("float16", "bfloat16", "float32", "float64")
_settings = {"floatx": "float32", "epsilon": 1e-7, "image_data_format": "channels_last"}
_state = {"max_epochs": None, "max_steps_per_epoch": None, "interactive_logging": True,
          "flash_attention": None, "device": None, "allow_nan": False,
          "archive_limits": {"bytes": None, "members": None}, "opening_seconds": 4.0}


def home() -> pathlib.Path:
    """cornu's own folder: `$CORNU_HOME`, else `~/.cornu`. It holds data sets and compiled executables.

    A user without a home folder, as in some containers, has a temporary one for the time of the process.
    """
    return pathlib.Path(os.environ.get("CORNU_HOME") or _user_home() / ".cornu")


def keras_home() -> pathlib.Path:
    """The folder that Keras's users already have: `$KERAS_HOME`, else `~/.keras`."""
    return pathlib.Path(os.environ.get("KERAS_HOME") or _user_home() / ".keras")


def _user_home() -> pathlib.Path:
    try:
        return pathlib.Path.home()
    except RuntimeError:  # no $HOME, and the system does not know the user
        return _temporary_home()


@functools.cache
def _temporary_home() -> pathlib.Path:
    folder = tempfile.mkdtemp(prefix="cornu-")  # of no name that others could have taken before
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return pathlib.Path(folder)


def floatx() -> str:
    """The default float type, such as `'float32'`.

    >>> floatx()
    'float32'
    """
    return _settings["floatx"]


@frames.filtered
def set_floatx(value: str) -> None:
    """Set the default float type: one of float16, bfloat16, float32, float64 (float64 turns JAX's x64 mode on)."""
    _settings["floatx"] = check.one_of("value", value, _FLOATS)
    if value == "float64":
        import jax

        jax.config.update("jax_enable_x64", True)


def epsilon() -> float:
    """The small number that keeps quotients and logarithms finite, 1e-7 by default."""
    return _settings["epsilon"]


@frames.filtered
def set_epsilon(value: float) -> None:
    """Set the number that `epsilon()` returns."""
    _settings["epsilon"] = check.positive("value", value, kind=float)


def image_data_format() -> str:
    """`'channels_last'` or `'channels_first'`: the default layout of images."""
    return _settings["image_data_format"]


@frames.filtered
def set_image_data_format(data_format: str) -> None:
    """Set the default layout of images."""
    _settings["image_data_format"] = check.one_of("data_format", data_format, ("channels_last", "channels_first"))


def standardize_data_format(data_format: str | None) -> str:
    """The given layout, checked, or the default one for None."""
    if data_format is None:
        return image_data_format()
    return check.one_of("data_format", str(data_format).lower(), ("channels_last", "channels_first"))


def backend() -> str:
    """The name of the engine, always `'jax'`."""
    return "jax"


@frames.filtered
def set_backend(backend: str) -> None:
    """Accepts `'jax'`, the one engine; anything else is a ValueError."""
    if backend != "jax":
        raise ValueError(f"cornu has one engine, 'jax'; it cannot switch to {backend!r}.")


def max_epochs() -> int | None:
    """The upper limit on the epochs of any `fit`, or None."""
    return _state["max_epochs"]


@frames.filtered
def set_max_epochs(max_epochs: int | None) -> None:
    """Limit the epochs of any `fit` (for quick checks of long scripts)."""
    _state["max_epochs"] = max_epochs if max_epochs is None else check.positive("max_epochs", max_epochs)


def max_steps_per_epoch() -> int | None:
    """The upper limit on the steps of any epoch, or None."""
    return _state["max_steps_per_epoch"]


@frames.filtered
def set_max_steps_per_epoch(max_steps_per_epoch: int | None) -> None:
    """Limit the steps of any epoch (for quick checks of long scripts)."""
    value = max_steps_per_epoch
    _state["max_steps_per_epoch"] = value if value is None else check.positive("max_steps_per_epoch", value)


def is_traceback_filtering_enabled() -> bool:
    """Whether errors hide the library's own frames."""
    return frames.filters_tracebacks()


def enable_traceback_filtering() -> None:
    """Hide the library's own frames in errors (the default)."""
    frames.filter_tracebacks(True)


def disable_traceback_filtering() -> None:
    """Show every frame in errors."""
    frames.filter_tracebacks(False)


def is_interactive_logging_enabled() -> bool:
    """Whether progress is drawn on the screen (True) or written as log lines."""
    return _state["interactive_logging"]


def enable_interactive_logging() -> None:
    """Draw progress on the screen (the default)."""
    _state["interactive_logging"] = True


def disable_interactive_logging() -> None:
    """Write progress through the `absl`-style logger `cornu` instead of drawing it."""
    _state["interactive_logging"] = False


def is_flash_attention_enabled() -> bool | None:
    """True or False when it was set, None when the platform decides."""
    return _state["flash_attention"]


def enable_flash_attention() -> None:
    """Ask for flash attention wherever the platform has it."""
    _state["flash_attention"] = True


def disable_flash_attention() -> None:
    """Never use flash attention."""
    _state["flash_attention"] = False


def allow_nan(value: bool = True) -> None:
    """Let `fit` take arrays with NaN in them, for models that treat them themselves."""
    _state["allow_nan"] = bool(value)


def allows_nan() -> bool:
    """Whether `fit` takes arrays with NaN."""
    return _state["allow_nan"]


@frames.filtered
def set_archive_limits(bytes: int | None = None, members: int | None = None) -> None:
    """Bound what an archive may be unpacked to, in `get_file(extract=True)` and in data sets; None leaves a limit.

    Args:
        bytes: of all its files together; at first 50 times the archive's size, but not below 1 GB.
        members: its files, directories and links; at first one for each 50 bytes of it, but not below 100,000.

    Raises ValueError for what is no positive integer.
    """
    for name, value in (("bytes", bytes), ("members", members)):
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"set_archive_limits: `{name}` must be an integer > 0. Received: {value!r}")
        _state["archive_limits"] = {**_state["archive_limits"], name: value}


def archive_limits() -> dict:
    """What `set_archive_limits` was told: `{"bytes": ..., "members": ...}`, None for what follows from the archive's size."""
    return dict(_state["archive_limits"])


@frames.filtered
def set_opening_seconds(seconds: float | None) -> None:
    """Bound how long a model file may take to open: so many seconds of computing, and a little for each of its layers.

    Args:
        seconds: 4 at first; None for no limit, as classes of one's own that compute much when they are made need it.

    Raises ValueError for what is no positive number.
    """
    if seconds is not None and (isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not seconds > 0):
        raise ValueError(f"set_opening_seconds: `seconds` must be a number > 0 or None. Received: {seconds!r}")
    _state["opening_seconds"] = seconds


def opening_seconds() -> float | None:
    """How many seconds of computing a model file may take to open; see `set_opening_seconds`."""
    return _state["opening_seconds"]


def enable_unsafe_deserialization() -> None:
    """Always an error: code in a file is never run. It says what to do instead."""
    raise NotImplementedError(
        "cornu runs no code from files, whatever is set: who can change a file could run anything here. Write the function "
        "or class in your own program, and pass it to load_model as custom_objects, or mark it with "
        "@cornu.utils.register_keras_serializable().")


def is_nnx_enabled() -> bool:
    """Always False: cornu's Variables need no bridge to Flax."""
    return False


@frames.filtered
def set_device(device: str) -> None:
    """Choose where new arrays and computations live: `'cpu'`, `'gpu'`, `'tpu'`, or one of them as in `'gpu:1'`.

    Without this call the best device that JAX finds is used. Raises RuntimeError when the device is absent,
    naming the extra to install.
    """
    import jax

    _state["device"] = find_device(device)
    jax.config.update("jax_default_device", _state["device"])


def device(device_name: str):
    """Within a `with` block, arrays and computations live on a device, named as for `set_device`."""
    import jax

    return jax.default_device(find_device(device_name))


def find_device(device: str):
    """JAX's device of a name such as `'gpu:1'`. Raises RuntimeError when it is absent."""
    import jax

    kind, _, index = str(device).lower().partition(":")
    check.one_of("device", kind, ("cpu", "gpu", "tpu"))
    try:
        found = jax.devices(kind)
    except RuntimeError:
        found = []
    if int(index or 0) >= len(found):
        extra = {"gpu": "cuda", "tpu": "tpu"}.get(kind)
        how = f' For one, install: pip install "cornu[{extra}]" on a machine that has it.' if extra and not found else ""
        raise RuntimeError(f"No device {device!r} here. JAX finds: {', '.join(list_devices())}.{how}")
    return found[int(index or 0)]


def list_devices(device_type: str | None = None) -> list[str]:
    """The devices that JAX finds, as `'cpu:0'`, `'gpu:0'` ..., the default kind first."""
    import jax

    kinds = [device_type.lower()] if device_type else sorted({"gpu", "tpu", "cpu"}, key=["gpu", "tpu", "cpu"].index)
    names = []
    for kind in kinds:
        try:
            names += [f"{kind}:{d.id}" for d in jax.devices(kind)]
        except RuntimeError:
            continue
    return names


def _read_user_file() -> None:
    """Take the defaults that a user of Keras keeps in keras.json; a file that cannot be read is no reason to fail."""
    try:
        found = json.loads((keras_home() / "keras.json").read_text())
    except (OSError, ValueError):
        return
    if isinstance(found, dict):
        if found.get("floatx") in _FLOATS[:3]:
            _settings["floatx"] = found["floatx"]
        if isinstance(found.get("epsilon"), float):
            _settings["epsilon"] = found["epsilon"]
        if found.get("image_data_format") in ("channels_last", "channels_first"):
            _settings["image_data_format"] = found["image_data_format"]


_read_user_file()
