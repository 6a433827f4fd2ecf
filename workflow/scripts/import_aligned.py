from pathlib import Path

from nrw.jobs.stage_log import stage_log

with stage_log(snakemake.log[0]):
    from nrw.dataset.format2019 import import_aligned

    import_aligned(
        snakemake.config["scenes"][snakemake.wildcards.scene]["aligned"],
        Path(snakemake.output.index).parent,
        seed=snakemake.params.seed,
        **snakemake.params.settings,
    )
