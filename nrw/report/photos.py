"""What became of each photo, and the wall that shows it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nrw.core.io import read_csv, read_json
from nrw.framebuffers.aligned import aligned_paths
from nrw.report.pictures import thumbnail

WALL = 240  # thumbnails at most
THUMBNAIL = 160  # pixels
UNSAFE = ("oversized", "unreadable", "not a photo")  # verdicts of files that are not opened again

FATES = {  # fate: (heading, whether it is a loss)
    "train": ("Trained on", False),
    "val": ("Kept for validation", False),
    "dropped": ("Registered, but the cloud covers too little of them", True),
    "unregistered": ("Not registered", True),
    "unusable": ("Not usable", True),
}


@dataclass(frozen=True)
class Photo:
    """A file of the photo folder. id: empty where the file was no usable photo. reason: empty where all went well."""

    id: str
    file: str
    fate: str
    reason: str


def photos_of(scene_dir: Path, from_photos: bool) -> list[Photo]:
    """Every file found and what became of it; from_photos: whether the scene began with photos or came aligned."""
    split = {row["id"]: row for row in read_csv(scene_dir / "aligned" / "split.csv")}
    if not from_photos:
        files = {row["id"]: row["file"] for row in read_csv(scene_dir / "aligned" / "index.csv")}
        return [Photo(id, files[id], row["split"], _dropped(row)) for id, row in split.items()]
    left_out = {row["id"]: row["reason"] for row in read_json(scene_dir / "sfm" / "summary.json")["left_out"]}
    photos = []
    for row in read_csv(scene_dir / "photos" / "photos.csv"):
        id, file = row["id"], row["file"]
        if row["verdict"] != "ok":
            photos.append(Photo("", file, "unusable", row["verdict"]))
        elif id in left_out:
            photos.append(Photo(id, file, "unregistered", left_out[id]))
        else:
            photos.append(Photo(id, file, split[id]["split"], _dropped(split[id])))
    return photos


def _dropped(row: Mapping[str, str]) -> str:
    return f"the cloud covers {float(row['density']):.0%} of the picture" if row["split"] == "dropped" else ""


def wall(photos: list[Photo], scene_dir: Path, folder: Path | None) -> list[dict]:
    """The photos by fate, {heading, count, loss, tiles [{file, reason, picture}]}, with `WALL` thumbnails at most.

    folder: the user's, from which unusable files are shown where they can be; None for a scene that came aligned.
    Losses come first when thumbnails are short, but take half of them at most; of a group that is too large an even
    selection is shown. Photos are opened one by one.
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
                "picture": _picture(photo, scene_dir, folder),
            }
            for photo in chosen
        ]
        result.append({"heading": heading, "count": len(group), "loss": loss, "tiles": tiles})
    return result


def _shares(counts: Mapping[str, int]) -> dict[str, int]:
    """How many of each fate to show."""
    if sum(counts.values()) <= WALL:
        return dict(counts)
    losses = {fate: count for fate, count in counts.items() if FATES[fate][1]}
    good = {fate: count for fate, count in counts.items() if not FATES[fate][1]}
    for_losses = min(sum(losses.values()), max(WALL // 2, WALL - sum(good.values())))
    return _scaled(losses, for_losses) | _scaled(good, WALL - for_losses)


def _scaled(counts: Mapping[str, int], room: int) -> dict[str, int]:
    """The counts shrunk in proportion to fit `room`."""
    total = sum(counts.values())
    if total <= room:
        return dict(counts)
    return {fate: min(count, max(1, count * room // total)) if count else 0 for fate, count in counts.items()}


def _picture(photo: Photo, scene_dir: Path, folder: Path | None) -> str | None:
    if folder is None:
        return thumbnail(aligned_paths(scene_dir / "aligned", photo.id)["reference"], THUMBNAIL)
    if photo.id:
        return thumbnail(scene_dir / "photos" / "images" / f"{photo.id}.jpg", THUMBNAIL)
    if photo.reason.startswith(UNSAFE):
        return None
    return thumbnail(folder / photo.file, THUMBNAIL)
