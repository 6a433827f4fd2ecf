"""Checks of a reconstruction against what it did not make itself: where matches lie, EXIF, what lenses and people do.

A wrong model agrees with itself: its error in pixels may be as small as that of a right one.
"""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pycolmap
from scipy.spatial import cKDTree

from nrw.sfm.database import opened
from nrw.sfm.matching import MIN_INLIERS
from nrw.sfm.stationary import printed_matches, read_pictures

FOCAL_OFF = 0.2  # relative to EXIF: bundle adjustment moves a right focal length by a few percent
FOCALS = (0.3, 12.0)  # of the longer side: from a wide angle lens to a long telephoto lens
DISTORTION = 0.4  # |k1| of SIMPLE_RADIAL beyond that of any lens that is not a fisheye
SPOT = 0.02  # units of the world, the typical distance to the scene: the size of a spot
LONG = 4  # photos that see a point, from which on tracks count as long


def checks_of(model: pycolmap.Reconstruction, database: Path | str, photos: Mapping[str, Mapping[str, str]]) -> dict:
    """The section `checks` of summary.json, for a model in its final world. photos: rows of photos.csv by id.

    pairs: verified pairs of registered photos. stationary: share of them whose matches lie for the most part at one
    place of the picture though the photos show different views. exif: photos with a focal length in EXIF; exif_off:
    share of them whose estimated one differs by more than FOCAL_OFF. implausible: share of the cameras with a focal
    length or distortion that lenses do not have. one_spot: largest share of the cameras in one spot. errors: mean
    reprojection error in pixels of the points seen by 2, 3, and 4 or more photos; None where there are none.
    """
    images = {Path(image.name).stem: image for image in model.images.values() if image.has_pose}
    pairs, stationary = _stationary_pairs(database, {image.name for image in images.values()})
    known = {photo_id: float(photos[photo_id]["focal_px"]) for photo_id in images if photos[photo_id]["focal_px"]}
    off = [abs(images[photo_id].camera.focal_length / focal - 1) > FOCAL_OFF for photo_id, focal in known.items()]
    cameras = [image.camera for image in images.values()]
    return {
        "pairs": pairs,
        "stationary": _share(stationary, pairs),
        "exif": len(known),
        "exif_off": _share(sum(off), len(known)),
        "implausible": _share(sum(map(_implausible, cameras)), len(cameras)),
        "one_spot": _one_spot(np.array([image.projection_center() for image in images.values()])),
        "errors": _errors(model),
    }


def _stationary_pairs(database: Path | str, names: set[str]) -> tuple[int, int]:
    """The number of verified pairs between the images `names`, and how many of them are stationary."""
    pairs = stationary = 0
    with opened(database) as connection:
        pictures = read_pictures(connection)
        members = {image.image_id for image in connection.read_all_images() if image.name in names}
        for pair, geometry in zip(*connection.read_two_view_geometries(), strict=True):
            a, b = pycolmap.pair_id_to_image_pair(pair)
            matches = np.asarray(geometry.inlier_matches)
            if members.issuperset((a, b)) and len(matches) >= MIN_INLIERS:
                pairs += 1
                stationary += bool(printed_matches(pictures[a], pictures[b], matches).mean() > 0.5)
    return pairs, stationary


def _implausible(camera: pycolmap.Camera) -> bool:
    relative = camera.focal_length / max(camera.width, camera.height)
    return not FOCALS[0] < relative < FOCALS[1] or abs(camera.params[3]) > DISTORTION


def _one_spot(centers: np.ndarray) -> float:
    """The largest share of the cameras (N, 3) that stand within a spot around one of them, itself not counted."""
    tree = cKDTree(centers)
    near = max(tree.query_ball_point(centers, SPOT, return_length=True)) - 1
    return _share(near, len(centers))


def _errors(model: pycolmap.Reconstruction) -> dict[str, float | None]:
    by_length: defaultdict[int, list[float]] = defaultdict(list)
    for point in model.points3D.values():
        by_length[min(point.track.length(), LONG)].append(point.error)
    return {
        name: round(float(np.mean(by_length[length])), 3) if by_length[length] else None
        for name, length in (("2", 2), ("3", 3), ("4 or more", LONG))
    }


def _share(part: int, whole: int) -> float:
    return round(float(part) / whole, 4) if whole else 0.0
