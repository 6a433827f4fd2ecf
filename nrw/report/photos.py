"""The fate of each photo, and the wall of thumbnails that shows it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nrw.core.io import read_csv, read_json
from nrw.framebuffers.aligned import aligned_paths
from nrw.report.pictures import thumbnail
from nrw.scene.files import SceneFiles

WALL = 240  # thumbnails at most
THUMBNAIL = 160  # pixels, longer side
UNSAFE = ("oversized", "unreadable", "not a photo")  # beginnings of verdicts on files that are not opened again

FATES = {  # fate: (heading, whether it is a loss)
    "train": ("Trained on", False),
    "val": ("Kept for validation", False),
    "dropped": ("Registered, but the cloud covers too little of them", True),
    "unregistered": ("Not registered", True),
    "unusable": ("Not usable", True),
}


@dataclass(frozen=True)
class PhotoFate:
    """A file of the photo folder and what became of it.

    photo_id: empty if the file is not a usable photo. fate: of FATES. reason: empty for a photo in use.
    """

    photo_id: str
    file: str
    fate: str
    reason: str


def fates_of(files: SceneFiles, from_photos: bool) -> list[PhotoFate]:
    """List the fate of every file found. from_photos: the scene was made from photos; False: it came aligned."""
    split = {row["id"]: row for row in read_csv(files.split)}
    if not from_photos:
        names = {row["id"]: row["file"] for row in read_csv(files.index)}
        return [PhotoFate(photo_id, names[photo_id], row["split"], _dropped(row)) for photo_id, row in split.items()]
    left_out = {row["id"]: row["reason"] for row in read_json(files.sfm_summary)["left_out"]}
    fates = []
    for row in read_csv(files.photos_csv):
        photo_id, name = row["id"], row["file"]
        if row["verdict"] != "ok":
            fates.append(PhotoFate("", name, "unusable", row["verdict"]))
        elif photo_id in left_out:
            fates.append(PhotoFate(photo_id, name, "unregistered", left_out[photo_id]))
        else:
            fates.append(PhotoFate(photo_id, name, split[photo_id]["split"], _dropped(split[photo_id])))
    return fates


def _dropped(row: Mapping[str, str]) -> str:
    return f"the cloud covers {float(row['density']):.0%} of the picture" if row["split"] == "dropped" else ""


def wall(photos: list[PhotoFate], files: SceneFiles, folder: Path | None) -> list[dict]:
    """Group the photos by fate: [{heading, count, loss, tiles [{file, name, reason, picture}]}].

    folder: the user's photos, from which unusable files are shown if possible; None for a scene that came aligned. At
    most WALL thumbnails are shown: losses come first but take no more than half of them unless the others leave room,
    and a group that is too large is shown by an even selection. Photos are opened one at a time.
    """
    groups = {fate: [photo for photo in photos if photo.fate == fate] for fate in FATES}
    shown = _shares({fate: len(group) for fate, group in groups.items()})
    result = []
    for fate, (heading, loss) in FATES.items():
        group = groups[fate]
        if not group:
            continue
        chosen = [group[index * len(group) // shown[fate]] for index in range(shown[fate])]
        tiles = [
            {
                "file": photo.file,
                "name": Path(photo.file).name,
                "reason": photo.reason,
                "picture": _picture(photo, files, folder),
            }
            for photo in chosen
        ]
        result.append({"heading": heading, "count": len(group), "loss": loss, "tiles": tiles})
    return result


def _shares(counts: Mapping[str, int]) -> dict[str, int]:
    """Decide how many photos of each fate to show."""
    if sum(counts.values()) <= WALL:
        return dict(counts)
    losses = {fate: count for fate, count in counts.items() if FATES[fate][1]}
    good = {fate: count for fate, count in counts.items() if not FATES[fate][1]}
    for_losses = min(sum(losses.values()), max(WALL // 2, WALL - sum(good.values())))
    return _scaled(losses, for_losses) | _scaled(good, WALL - for_losses)


def _scaled(counts: Mapping[str, int], room: int) -> dict[str, int]:
    """Scale the counts down in proportion to fit `room`."""
    total = sum(counts.values())
    if total <= room:
        return dict(counts)
    return {fate: min(count, max(1, count * room // total)) if count else 0 for fate, count in counts.items()}


def _picture(photo: PhotoFate, files: SceneFiles, folder: Path | None) -> str | None:
    if folder is None:
        return thumbnail(aligned_paths(files.aligned, photo.photo_id)["reference"], THUMBNAIL)
    if photo.photo_id:
        return thumbnail(files.upright_photos / f"{photo.photo_id}.jpg", THUMBNAIL)
    if photo.reason.startswith(UNSAFE):
        return None
    return thumbnail(folder / photo.file, THUMBNAIL)
