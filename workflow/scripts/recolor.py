from pathlib import Path

from nrw.jobs.stage_log import stage_log

with stage_log(snakemake.log[0]):
    from nrw.framebuffers.observations import Observations
    from nrw.framebuffers.recolor import recolor

    recolor(Observations(snakemake.input.samples), Path(snakemake.input.cloud), Path(snakemake.output[0]))
