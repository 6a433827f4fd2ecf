rule dataset:
    input:
        expand(FILES.dataset, scene=SCENES),
    message:
        "the data set is packed"


rule import_aligned:
    output:
        index=FILES.index,
        split=FILES.split,
    log:
        FILES.log("import_aligned"),
    benchmark:
        FILES.record("import_aligned")
    wildcard_constraints:
        scene=any_of(FROM_ALIGNED),
    resources:
        **asks("import_aligned"),
    params:
        listing=listing,
        settings=config["dataset"],
        seed=config["seed"],
    message:
        "{wildcards.scene}: reading the aligned data set"
    script:
        "../scripts/import_aligned.py"


rule pack_dataset:
    input:
        index=FILES.index,
        split=FILES.split,
        colors=colors,
        lighting=lighting,
    output:
        directory(FILES.dataset),
    log:
        FILES.log("pack_dataset"),
    benchmark:
        FILES.record("pack_dataset")
    threads: 16
    resources:
        **asks("pack_dataset"),
    params:
        levels=config["buffer"]["levels"],
        settings=pick("framebuffers", "scale", "splat"),
        transient=config["segmentation"]["transient"],
        sky=config["segmentation"]["sky"],
    message:
        "{wildcards.scene}: packing the data set"
    script:
        "../scripts/pack_dataset.py"
