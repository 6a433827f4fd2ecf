from pathlib import Path

from nrw.jobs.stage_log import stage_log

with stage_log(snakemake.log[0]):
    from nrw.framebuffers.lighting import light_cloud
    from nrw.framebuffers.observations import Observations

    light_cloud(
        Observations(snakemake.input.samples),
        Path(snakemake.input.cloud),
        Path(snakemake.input.colors),
        Path(snakemake.output[0]),
        channels=snakemake.params.channels,
        seed=snakemake.params.seed,
    )
