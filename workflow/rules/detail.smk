RESIDUALS = gathered(gather.batch, FILES.residuals_done("{scatteritem}"))


rule detail:
    input:
        expand(FILES.training_detail if DETAILED else [], scene=FROM_PHOTOS),
    message:
        "the photos' detail is measured"


rule undistort_detailed:
    input:
        images=FILES.upright_photos,
        sparse=FILES.reconstruction,
    output:
        directory(FILES.detailed_photos),
    log:
        FILES.log("undistort_detailed"),
    benchmark:
        FILES.record("undistort_detailed")
    threads: 4
    resources:
        **asks("undistort_detailed"),
    params:
        max_size=config["detail"]["max_size"],
    message:
        "{wildcards.scene}: undistorting the photos at the size of their detail"
    script:
        "../scripts/undistort_detailed.py"


# sources are training photos; residuals need the light that stage 1 measures in a photo
rule measure_residuals:
    input:
        dataset=FILES.dataset,
        model=FILES.model("appearance"),
        config=FILES.stage_config("appearance"),
        cloud=FILES.cloud,
        colors=FILES.colors,
        lighting=lighting,
        photos=FILES.detailed_photos,
        sparse=FILES.sparse,
        rasterized=RASTERIZED,
        labels=labels,
        sky=sky_masks,
    output:
        FILES.residuals_done("{scatteritem}"),
    log:
        FILES.log("measure_residuals", "{scatteritem}"),
    benchmark:
        FILES.record("measure_residuals", "{scatteritem}")
    threads: 1
    resources:
        **asks("measure_residuals"),
        gpu=GPU,
    params:
        z_dim=config["network"]["z_dim"],
        device=config["device"],
    message:
        "{wildcards.scene}: what the photos show beyond the cloud ({wildcards.scatteritem})"
    script:
        "../scripts/measure_residuals.py"


rule pack_detail:
    input:
        dataset=FILES.dataset,
        residuals=RESIDUALS,
    output:
        FILES.training_detail,
    log:
        FILES.log("pack_detail"),
    benchmark:
        FILES.record("pack_detail")
    threads: 16
    resources:
        **asks("pack_detail"),
        gpu=GPU,
    params:
        device=config["device"],
    message:
        "{wildcards.scene}: what the photos show of each other's views"
    script:
        "../scripts/pack_detail.py"
