from nrw.jobs.stage_log import stage_log

with stage_log(snakemake.log[0]):
    from nrw.sfm.reconstruction import find_parts

    find_parts(
        snakemake.input.images,
        snakemake.input.database,
        snakemake.output[0],
        threads=snakemake.threads,
        seed=snakemake.params.seed,
        **snakemake.params.settings,
    )
