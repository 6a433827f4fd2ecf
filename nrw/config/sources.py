"""Sources of scenes, the folders that they are made from: a scene's results remember theirs."""

import itertools
import json
import os
import re
import shlex
from collections.abc import Container, Mapping
from pathlib import Path

from nrw.core.errors import UserError
from nrw.core.folder import SOURCE
from nrw.core.io import read_json, write_json


def scene_name(folder: str) -> str:
    """Name a scene after its folder; anything but letters, digits, dots and dashes becomes an underscore."""
    return re.sub(r"[^\w.-]+", "_", Path(folder).resolve().name).strip("._") or "scene"


def option(scene: str, source: Mapping[str, str]) -> str:
    """The option of the command line that names a scene, quoted for a shell. source: {photos or aligned: folder}."""
    ((kind, folder),) = source.items()
    return "--config " + shlex.quote(f"scenes={{{scene}: {{{kind}: {json.dumps(folder, ensure_ascii=False)}}}}}")


def with_photos(scenes: Mapping[str, Mapping[str, str]], folder: str) -> dict[str, Mapping[str, str]]:
    """Add the scene that `photos=FOLDER` names. Raises UserError where another source has that name."""
    scene = scene_name(folder)
    named = {"photos": folder}
    if scene in scenes and _absolute(scenes[scene]) != _absolute(named):
        raise UserError(
            f"Two sources would be the scene {scene!r}: {_shown(scenes[scene])}, named under `scenes`, and "
            f"{_shown(named)}. Give the second another name, in place of photos=…:\n"
            f"  {option(_other_name(scene, folder, scenes), named)}"
        )
    return {**scenes, scene: named}


def remember(file: Path, source: Mapping[str, str]) -> None:
    """Write the source of a scene into its results, if it is not there yet. file: SceneFiles.source."""
    if recall(file) != _absolute(source):
        write_json(file, _absolute(source))


def recall(file: Path) -> dict[str, str] | None:
    """Read the source that results remember; None where they remember none, as those of older versions.

    Raises UserError for a damaged file.
    """
    try:
        return read_json(file) if file.is_file() else None
    except ValueError:
        raise UserError(f"{file} is damaged. Delete it, and run the same command again:\n  {_remove(file)}") from None


def check_sources(scenes: Mapping[str, Mapping[str, str]], files: Mapping[str, Path]) -> None:
    """Raise UserError for a scene whose results are of another source, which they would replace.

    files: SceneFiles.source of each scene.
    """
    for scene, source in scenes.items():
        known, named = recall(files[scene]), _absolute(source)
        if known in (None, named):
            continue
        results = files[scene].parent
        taken = [folder.name for folder in results.parent.iterdir() if recall(folder / SOURCE) != named]
        free = _other_name(scene, next(iter(source.values())), taken)
        raise UserError(
            f"{results} holds the results of another source, which this run would replace:\n"
            f"  made from: {_shown(known)}\n  named now: {_shown(named)}\n"
            f"To keep both, give the new one another name, in place of photos=… or under `scenes`:\n"
            f"  {option(free, source)}\n"
            f"To replace the old results, delete them first:\n  {_remove(results)}\n"
            f"If it is the same folder and has moved, let the results forget where it was:\n  {_remove(files[scene])}"
        )


def _absolute(source: Mapping[str, str]) -> dict[str, str]:
    """The source with the real path of its folder; bytes that are not UTF-8 are written as \\xNN."""
    return {
        kind: os.fsencode(Path(folder).resolve()).decode("utf-8", "backslashreplace") for kind, folder in source.items()
    }


def _shown(source: Mapping[str, str] | None) -> str:
    return ", ".join(f"{folder} ({kind})" for kind, folder in (source or {}).items())


def _other_name(scene: str, folder: str, taken: Container[str]) -> str:
    """A free name that begins with that of the folder's parent."""
    base = f"{scene_name(str(Path(folder).resolve().parent))}_{scene}"
    names = itertools.chain([base], (f"{base}_{number}" for number in itertools.count(2)))
    return next(name for name in names if name not in taken)


def _remove(path: Path) -> str:
    return shlex.join(["rm", "-r", "--", str(path)])
