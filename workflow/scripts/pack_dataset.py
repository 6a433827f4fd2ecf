from pathlib import Path

from nrw.jobs.stage_log import stage_log

with stage_log(snakemake.log[0]):
    import torch

    from nrw.dataset.pack import pack_dataset

    torch.set_num_threads(1)  # the photos share the cores
    params = snakemake.params
    colors = snakemake.input.colors
    pack_dataset(
        Path(snakemake.input.index).parent,
        Path(colors).parent if colors else None,
        snakemake.input.split,
        snakemake.output[0],
        levels=params.levels,
        **(params.settings if colors else {}),
        transient=params.transient,
        sky=params.sky,
        colors_npy=colors or None,
        lighting_npy=snakemake.input.lighting or None,
        threads=snakemake.threads,
    )
