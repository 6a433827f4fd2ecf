from pathlib import Path

from nrw.log import stage_log

with stage_log(snakemake.log[0]):
    from nrw.training.completion import train

    out = Path(snakemake.output.model).parent
    checkpoints = out.parent / "checkpoints" / out.name
    train(snakemake.input[0], out, checkpoints, snakemake.params.config)
