from pathlib import Path

from nrw.log import stage_log

with stage_log(snakemake.log[0]):
    import torch

    from nrw.dataset import PackedDataset
    from nrw.models.scene import SceneModel
    from nrw.videos import make, read_colored_cloud

    torch.set_num_threads(snakemake.threads)
    source = snakemake.input
    model = SceneModel.load(
        Path(source.model).parent,
        Path(source.completion).parent if source.completion else None,
        snakemake.params.device,
    )
    make(
        snakemake.wildcards.kind,
        model,
        PackedDataset(source.dataset),
        read_colored_cloud(source.cloud, source.colors) if source.cloud else None,
        snakemake.params.settings,
        snakemake.output.video,
    )
