import numpy as np

from nrw.report import photos
from nrw.report.photos import FATES, PhotoFate, wall
from nrw.scene.files import SceneFiles


def test_a_wall_of_thousands_is_thinned_evenly_and_keeps_the_losses(tmp_path, monkeypatch):
    monkeypatch.setattr(photos, "thumbnail", lambda path, size: str(path))
    fates = ["train"] * 4000 + ["val"] * 400 + ["unregistered"] * 600 + ["unusable"] * 10
    files = [PhotoFate(f"{number:04d}", f"{number}.jpg", fate, "") for number, fate in enumerate(fates)]
    groups = {group["heading"]: group for group in wall(files, SceneFiles(tmp_path), tmp_path)}
    shown = {fate: len(groups[heading]["tiles"]) for fate, (heading, _) in FATES.items() if heading in groups}
    assert 200 < sum(shown.values()) <= photos.WALL
    assert shown["unregistered"] + shown["unusable"] > 100 and shown["train"] > 100 and min(shown.values()) >= 1
    assert groups["Trained on"]["count"] == 4000
    names = [int(tile["name"].split(".")[0]) for tile in groups["Trained on"]["tiles"]]
    assert max(names) > 3900 and np.ptp(np.diff(names)) <= 1
