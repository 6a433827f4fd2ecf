from pathlib import Path

from nrw.log import stage_log

with stage_log(snakemake.log[0]):
    import numpy as np
    import torch

    from nrw.dataset import PackedDataset
    from nrw.models.scene import SceneModel
    from nrw.pointcloud import Cloud, read_cloud
    from nrw.videos import make

    torch.set_num_threads(snakemake.threads)
    source = snakemake.input
    model = SceneModel.load(
        Path(source.model).parent,
        Path(source.completion).parent if source.completion else None,
        snakemake.params.device,
    )
    cloud = None
    if source.cloud:
        fused = read_cloud(source.cloud)
        cloud = Cloud(fused.points, np.load(source.colors, allow_pickle=False), fused.normals)
    make(
        snakemake.wildcards.kind,
        model,
        PackedDataset(source.dataset),
        cloud,
        snakemake.params.settings,
        snakemake.output.video,
    )
