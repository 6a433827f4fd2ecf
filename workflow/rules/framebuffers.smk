RASTERIZED = gathered(gather.batch, FILES.rasterized("{scatteritem}"))
COMPOSED = gathered(gather.batch, FILES.composed("{scatteritem}"))


rule framebuffers:
    input:
        expand(RASTERIZED + COMPOSED, scene=FROM_PHOTOS),
        expand(FILES.colors, scene=FROM_PHOTOS),
        expand([FILES.index, FILES.split], scene=SCENES),
    message:
        "the aligned pictures are made"


rule rasterize_photos:
    input:
        cloud=FILES.cloud,
        sparse=FILES.sparse,
    output:
        FILES.rasterized("{scatteritem}"),
    log:
        FILES.log("rasterize_photos", "{scatteritem}"),
    benchmark:
        FILES.record("rasterize_photos", "{scatteritem}")
    threads: 1
    resources:
        **asks("rasterize_photos"),
        gpu=GPU,
    params:
        settings=config["framebuffers"],
        device=config["device"],
    message:
        "{wildcards.scene}: rasterizing the cloud ({wildcards.scatteritem})"
    script:
        "../scripts/rasterize_photos.py"


# the split comes before the colors, because validation photos must not color the cloud
rule split_photos:
    input:
        RASTERIZED,
    output:
        FILES.split,
    log:
        FILES.log("split_photos"),
    benchmark:
        FILES.record("split_photos")
    wildcard_constraints:
        scene=any_of(FROM_PHOTOS),
    resources:
        **asks("split_photos"),
    params:
        settings=config["dataset"],
        seed=config["seed"],
    message:
        "{wildcards.scene}: training and validation photos"
    script:
        "../scripts/split_photos.py"


rule color_cloud:
    input:
        cloud=FILES.cloud,
        images=FILES.undistorted_photos,
        sparse=FILES.sparse,
        rasterized=RASTERIZED,
        split=FILES.split,
        labels=labels,
        sky=sky_masks,
    output:
        colors=FILES.colors,
        lighting=FILES.lighting if config["buffer"]["lighting"] else [],
    log:
        FILES.log("color_cloud"),
    benchmark:
        FILES.record("color_cloud")
    threads: 16
    resources:
        **asks("color_cloud"),
    params:
        channels=config["buffer"]["lighting"],
        masked=MASKED,
        seed=config["seed"],
    message:
        "{wildcards.scene}: colors and lighting of the cloud from the training photos"
    script:
        "../scripts/color_cloud.py"


rule compose_aligned:
    input:
        cloud=FILES.cloud,
        images=FILES.undistorted_photos,
        sparse=FILES.sparse,
        rasterized=RASTERIZED,
        colors=FILES.colors,
        lighting=lighting,
        labels=labels,
    output:
        FILES.composed("{scatteritem}"),
    log:
        FILES.log("compose_aligned", "{scatteritem}"),
    benchmark:
        FILES.record("compose_aligned", "{scatteritem}")
    threads: 1
    resources:
        **asks("compose_aligned"),
    params:
        settings=pick("framebuffers", "scale"),
    message:
        "{wildcards.scene}: writing the aligned pictures ({wildcards.scatteritem})"
    script:
        "../scripts/compose_aligned.py"


rule index_aligned:
    input:
        table=FILES.photos_csv,
        sparse=FILES.sparse,
        rasterized=RASTERIZED,
        composed=COMPOSED,
    output:
        FILES.index,
    log:
        FILES.log("index_aligned"),
    benchmark:
        FILES.record("index_aligned")
    wildcard_constraints:
        scene=any_of(FROM_PHOTOS),
    resources:
        **asks("index_aligned"),
    message:
        "{wildcards.scene}: index of the aligned pictures"
    script:
        "../scripts/index_aligned.py"
