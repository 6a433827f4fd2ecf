from nrw.jobs.stage_log import stage_log

with stage_log(snakemake.log[0]):
    from nrw.sfm.pairs import choose_pairs

    choose_pairs(
        snakemake.input[0],
        snakemake.output[0],
        threads=snakemake.threads,
        seed=snakemake.params.seed,
        **snakemake.params.settings,
    )
