"""The reason for each photo that is not in the scene."""

import shutil

import numpy as np
import pycolmap
from corner_scene import run_reconstruct

from nrw.sfm.summary import summary_table


def test_each_photo_left_out_has_its_reason(scene, tmp_path):
    database = tmp_path / "database.db"
    shutil.copy(scene / "database.db", database)
    connection = pycolmap.Database.open(database)
    ids = {image.name[:4]: image.image_id for image in connection.read_all_images()}
    # verified pairs that are none: 11 agrees with 0 of the scene, 12 with 13 only
    for a, b, count in (("0000", "0011", 40), ("0012", "0013", 30)):
        geometry = pycolmap.TwoViewGeometry()
        geometry.config = pycolmap.TwoViewGeometryConfiguration.UNCALIBRATED.value
        rows = np.random.default_rng(0).permutation(200)[:count].astype(np.uint32)
        geometry.inlier_matches = np.stack([rows, rows[::-1]], axis=1)
        if connection.exists_two_view_geometry(ids[a], ids[b]):
            connection.delete_two_view_geometry(ids[a], ids[b])
        connection.write_two_view_geometry(ids[a], ids[b], geometry)
    connection.close()
    summary, _ = run_reconstruct(scene, database, tmp_path)
    reasons = {photo["id"]: photo["reason"] for photo in summary["left_out"]}
    assert set(reasons) == {f"{number:04}" for number in range(6, 14)}
    assert summary["left_out"][0]["file"] == "p 6.png"
    for photo_id in ("0006", "0007", "0008", "0009"):
        assert reasons[photo_id] == "matched, but in another model of 4 photos"
    assert reasons["0010"] == "no features: blurred, or without texture"
    assert reasons["0011"] == (
        "matched with 1 registered photo, but its pose was not found (40 inlier matches with the best of them)"
    )
    assert reasons["0012"] == reasons["0013"] == "matched with 1 photo, none of which was registered"
    text = (tmp_path / "summary.txt").read_text()
    assert text == summary_table(summary)
    assert text.startswith("6 of 14 photos registered") and "  0010  'p 10.png': no features" in text
