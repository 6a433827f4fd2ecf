import numpy as np
import pytest

from nrw.core.errors import UserError
from nrw.geometry.pointcloud import Cloud, write_cloud
from nrw.scene.files import SceneFiles


@pytest.fixture
def files(tmp_path):
    """A scene `results/tower` of which nothing but the cloud is there: black, without colours from photos."""
    files = SceneFiles(tmp_path / "results" / "tower")
    rng = np.random.default_rng(0)
    points = rng.normal(size=(7, 3)).astype(np.float32)
    write_cloud(files.cloud, Cloud(points, np.zeros((7, 3), np.uint8), np.tile(np.float32([0, 0, 1]), (7, 1))))
    return files


def test_a_missing_file_names_the_target_to_run(files):
    files.require(files.cloud)
    with pytest.raises(UserError, match=r"no mvs/summary\.json; run `snakemake --cores all results/tower/mvs/summary"):
        files.require(files.cloud, files.mvs_summary, files.colors)
    with pytest.raises(UserError, match="is not a folder; name the folder of a scene"):
        SceneFiles(files.root / "none").require()


def test_an_untrained_scene_cannot_be_opened(files):
    with pytest.raises(UserError, match="run `snakemake --cores all results/tower/dataset`"):
        files.open("cpu")


def test_the_cloud_gets_the_colors_of_the_photos(files):
    with pytest.raises(UserError, match=r"results/tower/framebuffers/colors\.npy"):
        files.colored_cloud()
    files.framebuffers.mkdir()
    colors = np.arange(21, dtype=np.uint8).reshape(7, 3)
    np.save(files.colors, colors)
    np.testing.assert_array_equal(files.colored_cloud().colors, colors)


def test_colors_of_another_cloud_are_refused(files):
    files.framebuffers.mkdir(exist_ok=True)
    np.save(files.colors, np.zeros((5, 3), np.uint8))
    with pytest.raises(UserError, match="different runs"):
        files.colored_cloud()


def test_videos_and_samples_are_listed_in_order(files):
    assert files.videos == [] and files.sample_sheets("finetune") == []
    for path in (files.video("joint"), files.video("appearance"), files.poster("joint")):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert files.videos == [files.video("appearance"), files.video("joint")]
