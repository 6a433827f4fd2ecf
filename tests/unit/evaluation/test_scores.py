import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_scene import WIDTH

from nrw.core.errors import UserError
from nrw.core.io import read_image
from nrw.dataset.packed import View
from nrw.evaluation import scores
from nrw.evaluation.baselines import Render, columns, renders
from nrw.evaluation.scores import METHODS, code, evaluate, output, score, summarize, table
from nrw.scene.files import SceneFiles

PERSON = 13


class TintModel:
    """Draws the raw render in one colour per appearance: z is the photo's mean colour in the region seen."""

    def __init__(self):
        self.regions, self.predicted = [], []

    def encode(self, view, region=None):
        self.regions.append(region)
        seen = view.pixels[:, columns(view.pixels.shape[1], region)]
        return torch.from_numpy(seen.reshape(-1, 3).mean(axis=0) / 255).float()

    def refine(self, view, z, region, steps):
        self.regions.append(region)
        return z + 0.01 * steps

    def render_view(self, view, z, predict_labels=False):
        self.predicted.append(predict_labels)
        flat = (z.numpy().clip(0, 1) * 255).round().astype(np.uint8)
        return np.broadcast_to(flat, view.pixels.shape).copy()


class Set:
    def __init__(self, views):
        self.views = {view.id: view for view in views}
        self.val_ids = list(self.views)
        self.meta = {"transient": [PERSON]}
        self.path = "results/scene/dataset"

    def view(self, photo_id):
        return self.views[photo_id]


def make_view(photo_id, seed, width=64):
    rng = np.random.default_rng(seed)
    photo = rng.integers(60, 200, (32, width, 3), dtype=np.uint8)
    labels = np.full((32, width), 2, np.uint8)
    labels[:, :8] = PERSON
    hit = rng.random((32, width)) < 0.6
    color = np.where(hit[..., None], photo, 0).astype(np.uint8)
    return View(photo_id, photo, labels, [color], [hit.astype(np.float32)], None, [255 * hit.astype(np.uint8)], None)


def drawn(model, view, protocol):
    return output(model, view, protocol, code(model, view, protocol, 3))


@pytest.fixture(scope="module")
def scene(tower):
    return tower


def test_every_photo_protocol_and_method_has_a_row_and_the_means_agree(tmp_path):
    dataset = Set([make_view("0001", 1), make_view("0002", 2, width=80)])
    result = evaluate(TintModel(), dataset, None, None, tmp_path, refine_steps=2)
    with open(tmp_path / "metrics.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    protocols = ("full", "half", "half_refined")
    expected = [
        (photo_id, protocol, method) for photo_id in dataset.val_ids for protocol in protocols for method in METHODS
    ]
    assert [(row["id"], row["protocol"], row["method"]) for row in rows] == expected
    written = json.loads((tmp_path / "metrics.json").read_text())
    assert written == result
    for protocol in protocols:
        for method in METHODS:
            chosen = [float(row["psnr"]) for row in rows if (row["protocol"], row["method"]) == (protocol, method)]
            assert written["protocols"][protocol][method]["psnr"] == pytest.approx(np.mean(chosen))
            assert written["protocols"][protocol][method]["photos"]["psnr"] == 2
    # where the cloud covers the picture, its raw render is the photo here
    assert written["protocols"]["full"]["raw"]["hit_psnr"] == 100
    for metric in ("perceptual", "lpips"):
        available = written["protocols"]["full"]["ours"][metric] is not None
        assert (written[f"{metric}_unavailable"] is None) == available


def test_sheets_show_render_labels_output_and_photo(tmp_path):
    view = make_view("0001", 1)
    evaluate(TintModel(), Set([view]), None, None, tmp_path, refine_steps=0)
    sheet = read_image(tmp_path / "sheets" / "0001.png")
    assert sheet.shape == (32 + 18, 4 * 64 + 3 * 4, 3)
    assert np.array_equal(sheet[18:, :64], view.color[0])
    assert np.array_equal(sheet[18:, -64:], view.pixels)
    assert (tmp_path / "sheets" / "overview.png").exists()
    assert set(json.loads((tmp_path / "metrics.json").read_text())["protocols"]) == {"full", "half"}


def test_the_half_protocols_see_nothing_of_the_right_half():
    view = make_view("0001", 1)
    photo, labels = view.pixels.copy(), view.labels.copy()
    photo[:, 32:], labels[:, 32:] = 0, PERSON
    spoiled = View("0001", photo, labels, view.color, view.depth, None, view.coverage, None)
    for protocol in ("half", "half_refined"):
        model = TintModel()
        assert np.array_equal(drawn(model, view, protocol), drawn(model, spoiled, protocol))
        assert set(model.regions) == {(0.0, 0.5)}
        assert model.predicted == [True, True]
    model = TintModel()
    assert not np.array_equal(drawn(model, view, "full"), drawn(model, spoiled, "full"))
    assert model.predicted == [False, False]


def test_the_scored_half_of_the_photo_does_not_reach_the_appearance(scene):
    """Neither photo nor labels of the right half change the code from the left, plain or refined."""
    model, dataset = SceneFiles(scene).open("cpu")
    view = dataset.view("0001")
    photo, labels = view.pixels.copy(), view.labels.copy()
    photo[:, WIDTH // 2 :], labels[:, WIDTH // 2 :] = 0, 0
    spoiled = replace(view, pixels=photo, labels=labels)
    left = (0.0, 0.5)
    z, other = model.encode(view, left), model.encode(spoiled, left)
    assert torch.equal(z, other)
    assert torch.equal(model.refine(view, z, left, 2), model.refine(spoiled, z, left, 2))
    assert not torch.equal(model.encode(view), model.encode(spoiled))


def test_the_half_protocols_score_the_right_half_alone():
    view = make_view("0001", 1)
    ours = view.pixels.copy()
    ours[:, :32] = 0  # wrong where it is not scored
    figures = {row["method"]: row for row in score(view, {"half": ours}, [PERSON])}
    assert figures["ours"]["psnr"] == 100
    assert figures["R"]["psnr"] < 100
    full = {row["method"]: row for row in score(view, {"full": ours}, [PERSON])}
    assert full["ours"]["psnr"] < 15


def test_transient_pixels_are_left_out_of_the_static_figures():
    view = make_view("0001", 1)
    ours = view.pixels.copy()
    ours[:, :8] = 0  # the people
    row = next(row for row in score(view, {"full": ours}, [PERSON]) if row["method"] == "ours")
    assert row["static_psnr"] == 100 and row["psnr"] < 20


def test_a_set_without_validation_photos_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match="results/scene/dataset has no validation photos"):
        evaluate(TintModel(), Set([]), None, None, tmp_path, refine_steps=0)


def test_means_skip_photos_without_the_figure():
    rows = [
        {"protocol": "full", "method": method, **dict.fromkeys(scores.COLUMNS, value), "hit_psnr": hit}
        for method in METHODS
        for value, hit in ((1.0, 10.0), (3.0, None))
    ]
    means = summarize(rows, ["full"])["full"]["ours"]
    assert (means["psnr"], means["hit_psnr"], means["photos"]["hit_psnr"]) == (2.0, 10.0, 1)


def test_another_baseline_is_fitted_like_r_and_gets_its_rows(monkeypatch):
    view = make_view("0001", 1)
    other = Render(view.pixels // 2, np.ones(view.pixels.shape[:2], bool))  # the photo itself, darker
    monkeypatch.setattr(scores, "renders", lambda view: {"R": renders(view)["R"], "M": other})
    monkeypatch.setattr(scores, "METHODS", {"raw": "", "R": "", "M": "", "ours": ""})
    rows = score(view, {"full": view.pixels}, [PERSON])
    assert [row["method"] for row in rows] == ["raw", "R", "M", "ours"]
    means = summarize(rows, ["full"])["full"]
    assert list(means) == ["raw", "R", "M", "ours"]
    assert means["M"]["psnr"] > 45 > means["R"]["psnr"]


def test_a_method_without_rows_has_no_means():
    rows = [{"protocol": "full", "method": "R", **dict.fromkeys(scores.COLUMNS, 1.0)}]
    assert list(summarize(rows, ["full"])["full"]) == ["R"]


def test_the_table_says_what_the_network_adds():
    figures = dict.fromkeys(scores.COLUMNS)
    means = {
        "full": {
            "raw": figures | {"psnr": 5.0},
            "R": figures | {"psnr": 18.0, "ssim": 0.6},
            "ours": figures | {"psnr": 19.5, "ssim": 0.7},
        }
    }
    for method in means["full"].values():
        for figure in scores.COLUMNS:
            method[figure] = method[figure] or 0.0
        method["lpips"] = None
    last = table(means).splitlines()[-1]
    assert last.startswith("full          ours - R")
    assert "1.50" in last and "0.100" in last and " - " in last
    assert len({len(line) for line in table(means).splitlines()}) == 1
