"""The page of a finished scene, as HTML; how it looks in a browser: tests/browser/test_report.py."""

import html
import json
import re
from contextlib import contextmanager

import pytest
from finished_scene import finish_aligned_scene, finish_scene

from nrw.core.io import read_csv, read_json, write_csv, write_json
from nrw.report.page import write_report
from nrw.scene.files import SceneFiles


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return finish_scene(tmp_path_factory.mktemp("finished"))


def page_of(scene, config):
    write_report(SceneFiles(scene), config, scene / "report.html")
    return (scene / "report.html").read_text(encoding="utf-8").split("<script>/**")[0]  # without Plotly's own code


@contextmanager
def edited(path):
    value = read_json(path)
    yield value
    write_json(path, value)


def text_of(page):
    """What one reads, on one line."""
    page = re.sub(r"<(script|style)\b.*?</\1>", " ", page, flags=re.S)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def section(page, name):
    return re.search(rf'<section id="{name}">(.*?)</section>', page, re.S)[1]


def test_every_section_shows_what_the_stages_left(finished):
    page = page_of(*finished)
    text = text_of(page)
    assert "8 of 9 photos registered" in text.replace("photos registered 8 of 9", "8 of 9 photos registered")
    for number in ("30,000 points", "12 features: blurred", "duplicate of IMG_0.jpg", "41% on average"):
        assert number in text, number
    assert re.findall(r'src="(videos/[^"]+)"', section(page, "videos")) == [
        "videos/flythrough.mp4",
        "videos/appearance.mp4",
        "videos/joint.mp4",
    ]
    assert len(re.findall("<li>", section(page, "photos"))) == 11
    assert section(page, "training").count("data-plot") == 4
    assert "+1.50" in section(page, "scores") and section(page, "scores").count("<img") == 2
    assert ">sharpness</th>" in section(page, "scores") and "+0.25" in section(page, "scores")
    assert ">perceptual</th>" not in section(page, "scores") and "no package" in section(page, "scores")
    assert "50 s" in section(page, "time")  # two jobs of 25 s
    assert "dataset.min_density" in section(page, "setup") and "torch" in section(page, "setup")
    assert "building" in section(page, "labels") and section(page, "labels").count("<img") == 6


def test_names_of_files_cannot_become_markup(finished):
    page = page_of(*finished)
    assert "&lt;1&gt; été &amp; &#34;so&#34;.jpg" in page and "<1>" not in page


def test_nothing_but_the_videos_lies_outside_the_page(finished):
    page = page_of(*finished)
    outside = [address for address in re.findall(r'(?:src|href|poster)="([^"]*)"', page)]
    assert {address.split(":")[0].split("/")[0] for address in outside if not address.startswith("#")} == {
        "data",
        "videos",
    }


def test_a_scene_without_labels_says_what_that_means(tmp_path):
    text = text_of(page_of(*finish_scene(tmp_path, labelled=False)))
    assert "Nothing is labelled" in text and "segmentation.model is none" in text and "sky included" in text


def test_a_set_that_came_aligned_has_its_page_too(finished, tmp_path):
    page = page_of(*finish_aligned_scene(tmp_path, finished[0]))
    text = text_of(page)
    assert "came aligned" in text and "neither a cloud nor cameras" in text and "photos registered" not in text
    assert re.findall(r'src="(videos/[^"]+)"', page) == ["videos/appearance.mp4"]
    assert section(page, "photos").count("<img") == 8 and section(page, "labels").count("<img") == 6


def test_more_videos_come_after_the_three(tmp_path):
    scene, config = finish_scene(tmp_path)
    for suffix in ("mp4", "png"):
        (scene / "videos" / f"a-walk.{suffix}").write_bytes((scene / "videos" / f"joint.{suffix}").read_bytes())
    assert re.findall(r'src="(videos/[^"]+)"', page_of(scene, config))[3:] == ["videos/a-walk.mp4"]


def test_what_a_killed_job_left_half_written_is_not_shown(tmp_path):
    scene, config = finish_scene(tmp_path)
    (scene / "videos" / ".joint.486.part.mp4").write_bytes(b"half")
    (scene / "finetune" / "samples" / ".000000.100.486.part.png").write_bytes(b"half")
    (scene / "evaluation" / "sheets" / ".0001.486.part.png").write_bytes(b"half")
    assert ".part" not in page_of(scene, config)


def test_dropped_photos_are_told_from_those_in_use(tmp_path):
    scene, config = finish_scene(tmp_path)
    rows = read_csv(scene / "aligned" / "split.csv")
    rows[0] |= {"split": "dropped", "density": "0.031"}
    write_csv(scene / "aligned" / "split.csv", rows, list(rows[0]))
    text = text_of(page_of(scene, config))
    assert "the cloud covers 3% of the picture" in text and "1 of 8 photos are too sparsely covered" in text


def test_a_photo_folder_that_is_gone_leaves_gaps_only(tmp_path):
    scene, config = finish_scene(tmp_path)
    (tmp_path / "photos").rename(tmp_path / "elsewhere")
    assert section(page_of(scene, config), "photos").count("no picture") == 2


def test_figures_hold_the_cloud_in_few_bytes(finished):
    page = page_of(*finished)
    figure = json.loads(re.search(r'data-plot="plot-scene">(.*?)</script>', page, re.S)[1])
    cloud = figure["data"][0]
    assert cloud["x"]["dtype"] == "f4" and cloud["marker"]["color"]["dtype"] == "u1"
    assert len(figure["data"]) == 5  # the cloud; lines and centres of training and validation cameras
    assert len(page) < 2_000_000


def test_a_failing_network_is_seen_at_the_top(tmp_path):
    scene, config = finish_scene(tmp_path)
    with edited(scene / "evaluation" / "metrics.json") as metrics:
        metrics["protocols"]["half"]["ours"] |= {"psnr": 12.0, "ssim": 0.3}
    page = page_of(scene, config)
    assert '<header class="poor">' in page
    assert "does not beat the recoloured cloud" in text_of(section(page, "verdict"))


def test_a_wrong_reconstruction_is_not_called_good(tmp_path):
    scene, config = finish_scene(tmp_path)
    with edited(scene / "sfm" / "summary.json") as summary:
        summary["checks"] |= {"stationary": 0.42, "exif_off": 0.5}
    page = page_of(scene, config)
    assert '<header class="poor">' in page
    assert "The cameras are wrong" in text_of(section(page, "verdict"))


def test_photos_that_were_cut_are_counted(tmp_path):
    scene, config = finish_scene(tmp_path)
    rows = read_csv(scene / "photos" / "photos.csv")
    assert "cut off" not in text_of(section(page_of(scene, config), "photos"))
    rows[0]["border"] = "bottom 96"
    write_csv(scene / "photos" / "photos.csv", rows, list(rows[0]))
    assert "caption around the photo was cut off 1 of them" in text_of(section(page_of(scene, config), "photos"))
