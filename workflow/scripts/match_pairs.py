from nrw.jobs.stage_log import stage_log

with stage_log(snakemake.log[0]):
    from nrw.sfm.matching import match_pairs

    match_pairs(
        snakemake.input.features,
        snakemake.input.pairs,
        snakemake.wildcards.scatteritem,
        snakemake.output[0],
        seed=snakemake.params.seed,
    )
