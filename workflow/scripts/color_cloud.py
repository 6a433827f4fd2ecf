from pathlib import Path

from nrw.jobs.stage_log import stage_log

with stage_log(snakemake.log[0]):
    import torch

    from nrw.core.ade20k import labels_of
    from nrw.dataset.split import read_split
    from nrw.framebuffers.coloring import color_cloud

    torch.set_num_threads(1)  # the photos share the cores
    params, colors = snakemake.params, Path(snakemake.output.colors)
    color_cloud(
        Path(snakemake.input.cloud),
        colors.parent,
        Path(snakemake.input.sparse).parent,
        Path(snakemake.input.labels).parent if snakemake.input.labels else None,
        [photo_id for photo_id, part in read_split(snakemake.input.split).items() if part == "train"],
        colors,
        Path(snakemake.output.lighting) if snakemake.output.lighting else None,
        masked=labels_of(params.masked),
        channels=params.channels,
        seed=params.seed,
        threads=snakemake.threads,
    )
