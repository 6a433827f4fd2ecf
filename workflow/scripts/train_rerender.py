from pathlib import Path

from nrw.log import stage_log

with stage_log(snakemake.log[0]):
    from nrw.training.rerender import train

    out = Path(snakemake.output.model).parent
    checkpoints = out.parent / "checkpoints" / out.name
    init = Path(snakemake.input.init).parent
    params = snakemake.params
    train(snakemake.input.dataset, init, out, checkpoints, params.config, stage=params.stage)
