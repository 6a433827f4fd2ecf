"""Paths of a scene, and opening a trained scene from them.

Nothing else spells a path under `results/<scene>/`: the rules of the workflow take theirs from here as well, with
`{scene}` in place of the name.
"""

import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nrw.core.errors import UserError
from nrw.core.folder import SOURCE
from nrw.core.io import read_json

if TYPE_CHECKING:
    from nrw.dataset.packed import PackedDataset
    from nrw.geometry.pointcloud import Cloud
    from nrw.scene.model import SceneModel
    from nrw.scene.views import Views


@dataclass(frozen=True)
class SceneFiles:
    """The files of the scene in folder `root`, in the order in which the stages leave them.

    item: a piece of the work, `2-of-3` (`core.pieces`). stage: of training. kind: of video.
    """

    root: Path

    @property
    def name(self) -> str:
        return self.root.resolve().name

    def of(self, scene: str) -> "SceneFiles":
        """The files of a scene by name, where `{scene}` stands in the root."""
        return SceneFiles(Path(str(self.root).format(scene=scene)))

    @property
    def source(self) -> Path:
        """Remembers the folder that the scene is made from."""
        return self.root / SOURCE

    # photos

    @property
    def photos_csv(self) -> Path:
        return self.root / "photos" / "photos.csv"

    @property
    def upright_photos(self) -> Path:
        return self.root / "photos" / "images"

    @property
    def usable_photos(self) -> Path:
        """The ids of the usable photos; written only where there are enough of them."""
        return self.root / "photos" / "usable.json"

    # sfm

    @property
    def features(self) -> Path:
        return self.root / "sfm" / "features.db"

    @property
    def pairs(self) -> Path:
        return self.root / "sfm" / "pairs.txt"

    def matches(self, item: str) -> Path:
        return self.root / "sfm" / "matches" / f"{item}.db"

    @property
    def database(self) -> Path:
        return self.root / "sfm" / "database.db"

    @property
    def parts(self) -> Path:
        """The photos of each model of a first mapping; only with `sfm.rescue`, as the next."""
        return self.root / "sfm" / "parts.json"

    @property
    def joined_database(self) -> Path:
        return self.root / "sfm" / "joined.db"

    @property
    def reconstruction(self) -> Path:
        return self.root / "sfm" / "sparse"

    @property
    def sfm_summary(self) -> Path:
        return self.root / "sfm" / "summary.json"

    @property
    def sfm_table(self) -> Path:
        return self.root / "sfm" / "summary.txt"

    # mvs; what lies inside the workspace: nrw.mvs.workspace

    @property
    def workspace(self) -> Path:
        return self.root / "mvs"

    @property
    def undistorted_photos(self) -> Path:
        return self.workspace / "images"

    @property
    def sparse(self) -> Path:
        """The COLMAP model with the cameras of the undistorted photos."""
        return self.workspace / "sparse"

    def photometric_done(self, item: str) -> Path:
        return self.workspace / "depths" / f"{item}.json"

    def consensus_done(self, item: str) -> Path:
        return self.workspace / "consensus" / f"{item}.json"

    def geometric_done(self, item: str) -> Path:
        return self.workspace / "geometric" / f"{item}.json"

    @property
    def patch_match_done(self) -> Path:
        return self.workspace / "patch_match.json"

    def sky_masked(self, item: str) -> Path:
        return self.workspace / "sky_masks" / "done" / f"{item}.json"

    @property
    def cloud(self) -> Path:
        return self.workspace / "cloud.ply"

    @property
    def surface(self) -> Path:
        return self.workspace / "surface.ply"

    @property
    def mvs_summary(self) -> Path:
        return self.workspace / "summary.json"

    # segmentation

    @property
    def segmentation(self) -> Path:
        return self.root / "segmentation"

    def segmented(self, item: str) -> Path:
        return self.segmentation / "chunks" / f"{item}.json"

    @property
    def classes(self) -> Path:
        return self.segmentation / "classes.json"

    # framebuffers; a photo's own files: nrw.framebuffers.rasters and aligned

    @property
    def framebuffers(self) -> Path:
        return self.root / "framebuffers"

    def rasterized(self, item: str) -> Path:
        return self.framebuffers / "rasterized" / f"{item}.json"

    @property
    def colors(self) -> Path:
        return self.framebuffers / "colors.npy"

    @property
    def lighting(self) -> Path:
        return self.framebuffers / "lighting.npy"

    def composed(self, item: str) -> Path:
        return self.framebuffers / "composed" / f"{item}.json"

    @property
    def aligned(self) -> Path:
        return self.root / "aligned"

    @property
    def index(self) -> Path:
        return self.aligned / "index.csv"

    @property
    def split(self) -> Path:
        return self.aligned / "split.csv"

    # dataset

    @property
    def dataset(self) -> Path:
        return self.root / "dataset"

    # detail; a photo's own file: nrw.detail.residuals

    @property
    def detail(self) -> Path:
        return self.root / "detail"

    @property
    def detailed_photos(self) -> Path:
        """The undistorted photos at the size in which they lend their detail."""
        return self.detail / "photos"

    def residuals_done(self, item: str) -> Path:
        return self.detail / "residuals" / f"{item}.json"

    @property
    def training_detail(self) -> Path:
        return self.detail / "training.u8"

    # training

    def stage(self, stage: str) -> Path:
        return self.root / stage

    def model(self, stage: str) -> Path:
        return self.stage(stage) / "model.safetensors"

    def stage_config(self, stage: str) -> Path:
        return self.stage(stage) / "config.json"

    def checkpoints(self, stage: str) -> Path:
        return self.root / "checkpoints" / stage

    def stats(self, stage: str) -> Path:
        return self.stage(stage) / "stats.jsonl"

    def sample_sheets(self, stage: str) -> list[Path]:
        """The sheets of sample pictures that a stage has left, oldest first."""
        return sorted((self.stage(stage) / "samples").glob("[!.]*.png"))

    @property
    def style_distances(self) -> Path:
        return self.stage("appearance") / "style_distances.npy"

    @property
    def style_distances_ids(self) -> Path:
        return self.stage("appearance") / "style_distances.json"

    # evaluation

    @property
    def evaluation(self) -> Path:
        return self.root / "evaluation"

    @property
    def metrics(self) -> Path:
        return self.evaluation / "metrics.json"

    @property
    def metrics_table(self) -> Path:
        return self.evaluation / "metrics.csv"

    @property
    def sheets(self) -> Path:
        return self.evaluation / "sheets"

    # videos

    def video(self, kind: str) -> Path:
        return self.root / "videos" / f"{kind}.mp4"

    def poster(self, kind: str) -> Path:
        return self.root / "videos" / f"{kind}.png"

    @property
    def videos(self) -> list[Path]:
        """The videos that are there, by name."""
        return sorted((self.root / "videos").glob("[!.]*.mp4"))

    # report, viewer

    @property
    def report(self) -> Path:
        return self.root / "report.html"

    @property
    def snapshots(self) -> Path:
        return self.root / "snapshots"

    def camera_path(self, name: str) -> Path:
        return self.root / "paths" / f"{name}.json"

    # what the rules of the workflow leave beside their results

    def log(self, rule: str, item: str = "") -> Path:
        return self.root / "logs" / f"{Path(rule, item)}.log"

    @property
    def records(self) -> Path:
        return self.root / "benchmarks"

    def record(self, rule: str, item: str = "") -> Path:
        return self.records / f"{Path(rule, item)}.tsv"

    def require(self, *files: Path) -> None:
        """Raise UserError, naming the target to run, for the first of the scene's files that is missing."""
        if not self.root.is_dir():
            raise UserError(f"{self.root} is not a folder; name the folder of a scene, such as results/NAME")
        for file in files:
            if not file.exists():
                target = Path("results", self.name, file.relative_to(self.root))
                raise UserError(
                    f"{self.root} has no {file.relative_to(self.root)}; run `snakemake --cores all "
                    f"{shlex.quote(str(target))}` with the options that the scene was made with (--config …)"
                )

    def open(self, device: str) -> tuple["SceneModel", "PackedDataset"]:
        """The trained networks and the data set. Raises UserError for a scene that is not trained."""
        from nrw.dataset.packed import PackedDataset
        from nrw.scene.model import SceneModel

        self.require(self.dataset, self.model("finetune"))
        labelled = self.model("completion").exists() and read_json(self.stage_config("finetune"))["spec"]["classes"]
        completion = self.stage("completion") if labelled else None
        model = SceneModel.load(self.stage("finetune"), completion, device)
        if model.spec.detail:
            self.require(self.training_detail)
        return model, PackedDataset(self.dataset, self.training_detail if model.spec.detail else None)

    def open_views(self, device: str) -> tuple["Views", "PackedDataset"]:
        """Open a trained scene for views from any camera.

        Raises UserError also for a scene that came aligned: it has no cloud.
        """
        from nrw.dataset.packed import known_camera
        from nrw.detail.skies import Skies
        from nrw.detail.sources import training_sources
        from nrw.scene.views import Views

        model, dataset = self.open(device)
        if not dataset.meta["has_index"]:
            raise UserError(
                f"{self.root} came as an aligned data set, without a point cloud: only its own views can be rendered"
            )
        self.require(self.cloud, self.colors, self.detailed_photos)
        scale, splat = dataset.meta["scale"], dataset.meta["splat"]
        skies = Skies(dataset, self.workspace, self.detailed_photos, scale, device)
        sources = None
        if model.spec.detail:
            cameras = {photo_id: known_camera(dataset.view(photo_id)) for photo_id in dataset.train_ids}
            sources = training_sources(self.detail, self.framebuffers, cameras, dataset.train_ids, device)
        return Views(model, self.colored_cloud(), sources, skies, scale=scale, splat=splat), dataset

    def open_scored(self, device: str) -> tuple["SceneModel", "PackedDataset", "Views | None", Path | None]:
        """Open a trained scene for its scores: its views and the photos of their size, where it has cameras."""
        from nrw.dataset.packed import PackedDataset

        self.require(self.dataset)
        if not PackedDataset(self.dataset).meta["has_index"]:
            return *self.open(device), None, None
        views, dataset = self.open_views(device)
        return views.model, dataset, views, self.detailed_photos

    def colored_cloud(self) -> "Cloud":
        """The cloud in the colours of the training photos. Raises UserError where it is missing, or does not fit."""
        from nrw.geometry.pointcloud import read_cloud

        self.require(self.cloud, self.colors)
        cloud, colors = read_cloud(self.cloud), np.load(self.colors, allow_pickle=False)
        if len(colors) != len(cloud):
            raise UserError(
                f"{self.cloud} has {len(cloud)} points, {self.colors} has {len(colors)} colours: they are of different "
                f"runs; delete {self.colors} and run the workflow again"
            )
        return replace(cloud, colors=colors)
