"""`cornu inspect` and `cornu convert`."""

import math
import os
import sys

ROWS = 60  # of a table, without --all


def inspect(path: str, everything: bool = False, width: int | None = None) -> int:
    """Print what a file holds, without building it: 0 where all is well, 1 for what is wrong with it, 2 for no such file."""
    from cornu.saving.inspection import examine

    try:
        found = examine(path)
    except (OSError, ValueError) as error:
        return _fail(error)
    from rich.console import Console

    console = Console(highlight=False, width=width)
    told = {"size": _size(found.size), "written by": _writer(found.told), "date": found.told.get("date_saved"),
            "compiled with": ", ".join(found.told[k] for k in ("optimizer", "loss") if found.told.get(k)),
            "assets": found.told.get("assets"), "own classes": ", ".join(dict.fromkeys(found.own))}
    console.print(_text(f"{os.path.basename(found.path)}: {found.kind}", "bold"))
    for name, value in told.items():
        if value:
            console.print(_text(f"  {name:14}{value}"), soft_wrap=True)
    _layers(console, found, everything)
    _arrays(console, found, everything)
    for wrong in found.wrong:
        console.print(_text(f"WRONG: {wrong}", "bold red"), soft_wrap=True)
    if not found.wrong:
        console.print(_text("Nothing in it is damaged or suspicious.", "green"))
    return 1 if found.wrong else 0


def _layers(console, found, everything) -> None:
    if found.layers:
        table = _table("Layer", "Class", "Settings")
        for depth, name, kind, settings in found.layers[:None if everything else ROWS]:
            table.add_row(_text("  " * depth + name), _text(kind, "blue"), _text(settings))
        console.print(table)
        _more(console, len(found.layers), everything)


def _arrays(console, found, everything) -> None:
    if found.arrays:
        table = _table("Weight", "Shape", "Dtype", "Bytes")
        for path, value in list(found.arrays.items())[:None if everything else ROWS]:
            size = math.prod(value.shape) * value.dtype.itemsize
            table.add_row(_text(path), _text(str(tuple(value.shape))), _text(str(value.dtype)), _text(f"{size:,}"))
        console.print(table)
        _more(console, len(found.arrays), everything)
        console.print(_text(f"{found.parameters:,} parameters; {len(found.arrays)} arrays of {_size(found.nbytes)} with the "
                            "optimizer's state."), soft_wrap=True)


def _table(*columns):
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for name in columns:
        table.add_column(name, justify="right" if name == "Bytes" else "left", overflow="fold")
    return table


def _more(console, count, everything) -> None:
    if count > ROWS and not everything:
        console.print(_text(f"... and {count - ROWS} more; --all shows them."))


def _text(value: str, style: str = ""):
    """A text of a file as the terminal may have it: no control characters, no markup, not too long."""
    from rich.text import Text

    return Text("".join(c if c.isprintable() or c == "\n" else "?" for c in value[:2000]), style=style, overflow="fold")


def _size(count: int) -> str:
    for unit in ("bytes", "KB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:,} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000


def _writer(told: dict) -> str:
    names = {"cornu_version": "cornu", "keras_version": "Keras", "backend": "on"}
    return " ".join(f"{name} {told[key]}" for key, name in names.items() if told.get(key))[:200]


def convert(source: str, target: str, overwrite: bool = False) -> int:
    """Write what is in one file into another, in the format that its name's ending says; 0, or 1 for what cannot be."""
    from cornu.saving.conversion import convert as write

    try:
        write(source, target, overwrite)
    except (OSError, ValueError, ImportError, NotImplementedError) as error:
        return _fail(error)
    print(f"{target}: {_size(os.path.getsize(target))}")
    return 0


def _fail(error) -> int:
    print(f"cornu: {error}", file=sys.stderr)
    return 2 if isinstance(error, OSError) else 1
