"""Models that a run downloads: fetched before its first rule, where there is a network; jobs of a cluster have none."""

from collections.abc import Collection, Mapping

from nrw.config.choices import PHOTO_STAGES


def fetch(config: Mapping, rules: Collection[str]) -> None:
    """Fetch into the caches of the hub and of torch what the jobs of these rules load and the caches lack.

    config: complete. What is there already needs no network. Raises UserError where something cannot be fetched.
    """
    if "segment_photos" in rules:
        from nrw.segmentation.hub import fetch as fetch_model
        from nrw.segmentation.model_files import local_folder

        model = config["segmentation"]["model"]
        if local_folder(model) is None:
            fetch_model(model)
    if config["perceptual"]["weights"] == "url" and _compare_features(config["training"], rules):
        from nrw.models.perceptual import fetch_weights  # torch is slow to load

        fetch_weights()


def _compare_features(training: Mapping, rules: Collection[str]) -> bool:
    """Whether one of these rules trains a stage that needs VGG16."""
    weight = {stage: training["losses"]["perceptual"] for stage in PHOTO_STAGES}
    weight["appearance"] = training["appearance"]["kimg"]
    return any(f"train_{stage}" in rules and weight[stage] > 0 for stage in PHOTO_STAGES)
