from pathlib import Path

from nrw.jobs.stage_log import stage_log

with stage_log(snakemake.log[0]):
    import torch

    from nrw.dataset.packed import PackedDataset
    from nrw.scene.files import read_colored_cloud
    from nrw.scene.model import SceneModel
    from nrw.videos.shots import film

    torch.set_num_threads(snakemake.threads)
    source = snakemake.input
    model = SceneModel.load(
        Path(source.model).parent,
        Path(source.completion).parent if source.completion else None,
        snakemake.params.device,
    )
    film(
        snakemake.wildcards.kind,
        model,
        PackedDataset(source.dataset),
        read_colored_cloud(source.cloud, source.colors) if source.cloud else None,
        snakemake.params.settings,
        snakemake.output.video,
    )
