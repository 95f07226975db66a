"""Assets: files of a layer's own inside a `.keras` file, such as vocabularies, under the layer's path."""

import os
import pathlib
import tempfile

from cornu.saving.view import FileError
from cornu.saving.weights import holders

_LARGEST = 256 << 20  # bytes of one asset


def write_assets(model, archive) -> None:
    """Put what the layers' `save_assets(dir_path)` write into an archive."""
    for path, holder in holders(model).items():
        if hasattr(holder, "save_assets"):
            with tempfile.TemporaryDirectory(prefix="cornu-") as folder:
                holder.save_assets(folder)
                for file in sorted(p for p in pathlib.Path(folder).rglob("*") if p.is_file()):
                    archive.write(file, f"assets/{path}{file.relative_to(folder).as_posix()}")


def read_assets(model, members: dict, shown) -> None:
    """Let each layer's `load_assets(dir_path)` read its own files; their names were found harmless before.

    Raises FileError for assets that are too large, that no layer takes, or that the layer cannot read.
    """
    takers = {f"assets/{path}": holder for path, holder in holders(model).items() if hasattr(holder, "load_assets")}
    found: dict = {}
    for name, member in members.items():
        if name.startswith("assets/"):
            place = max((p for p in takers if name.startswith(p)), key=len, default=None)
            if place is None or member.size > _LARGEST:
                raise FileError(f"{shown}: no layer of the model takes its asset {name!r:.120}." if place is None else
                                f"{shown}: its asset {name!r:.120} has {member.size:,} bytes; at most {_LARGEST:,} are "
                                "read.")
            found.setdefault(place, {})[name[len(place):]] = member
    for place, files in found.items():
        with tempfile.TemporaryDirectory(prefix="cornu-") as folder:
            for name, member in files.items():
                os.makedirs(os.path.dirname(os.path.join(folder, name)), exist_ok=True)
                pathlib.Path(folder, name).write_bytes(member.read())
            try:
                takers[place].load_assets(folder)
            except Exception as error:
                raise FileError(f"{shown}: layer {takers[place].name!r} cannot read its assets {sorted(files)!r:.200}: "
                                f"{error!s:.500}") from error
