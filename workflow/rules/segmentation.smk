SEGMENTED_PIECES = gathered(gather.chunk, FILES.segmented("{scatteritem}"))


rule segmentation:
    input:
        expand(FILES.classes, scene=SEGMENTED),
        expand(SEGMENTED_PIECES, scene=SEGMENTED),
    message:
        "the photos are labelled"


rule segment_photos:
    input:
        images=FILES.undistorted_photos,
    output:
        FILES.segmented("{scatteritem}"),
    log:
        FILES.log("segment_photos", "{scatteritem}"),
    benchmark:
        FILES.record("segment_photos", "{scatteritem}")
    threads: 1
    resources:
        **asks("segment_photos"),
        gpu=GPU,
    params:
        settings=pick("segmentation", "model", "max_size"),
        device=config["device"],
    message:
        "{wildcards.scene}: labelling the photos ({wildcards.scatteritem})"
    script:
        "../scripts/segment_photos.py"


rule gather_classes:
    input:
        images=FILES.undistorted_photos,
        chunks=SEGMENTED_PIECES,
    output:
        report(
            FILES.classes,
            caption="../report/classes.rst",
            category="{scene}",
            labels={"result": "labels"},
        ),
    log:
        FILES.log("gather_classes"),
    benchmark:
        FILES.record("gather_classes")
    resources:
        **asks("gather_classes"),
    params:
        settings=pick("segmentation", "model", "transient", "sky"),
    message:
        "{wildcards.scene}: counting the labels"
    script:
        "../scripts/gather_classes.py"
