"""Options of XLA:CPU that are not fields of its options but entries of a map there, which JAX cannot set for a program.

Those that begin with "--" are LLVM's, told as on a command line.
"""

import functools


def take_backend_options(options: dict) -> dict:
    """Let `compiler_options` have these, which XLA looks up by name in a map of its options: JAX can set plain fields only.

    JAX's own options for a program are made as before; the names' entries are added to them in their protobuf form.

    Returns: the options; none where JAX makes its own in another way, so that the names stay unknown.
    """
    try:
        from jax._src import compiler
        made = compiler.get_compile_options
    except (ImportError, AttributeError):  # moved
        return {}

    @functools.wraps(made)
    def get_compile_options(*args, **kwargs):
        told = dict(kwargs.pop("env_options_overrides", None) or {})
        extra = [name for name in options if told.pop(name, False)]
        plain = made(*args, **kwargs, **{"env_options_overrides": told} if told else {})
        entries = b"".join(_field(500, _field(1, name.encode())) for name in extra)  # xla_backend_extra_options
        return plain.ParseFromString(plain.SerializeAsString() + _field(3, _field(3, entries))) if extra else plain

    compiler.get_compile_options = get_compile_options
    return options


def _field(number: int, content: bytes) -> bytes:
    """A field of a protobuf message that holds text or a message; a message that comes twice is merged."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    return bytes([number]) if number < 128 else bytes([number & 127 | 128]) + _varint(number >> 7)
