"""The version, in one place."""

__version__ = "0.1.0"


def version() -> str:
    """The installed version of cornu."""
    return __version__
