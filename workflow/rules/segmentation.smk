rule segmentation:
    input:
        expand("results/{scene}/segmentation/classes.json", scene=SEGMENTED),
        expand(
            gather.chunk("results/{{scene}}/segmentation/chunks/{scatteritem}.json"),
            scene=SEGMENTED,
        ),
    message:
        "the photos are labelled"


rule segment_chunk:
    input:
        images="results/{scene}/mvs/images",
    output:
        "results/{scene}/segmentation/chunks/{scatteritem}.json",
    log:
        "results/{scene}/logs/segmentation/{scatteritem}.log",
    benchmark:
        "results/{scene}/benchmarks/segmentation/{scatteritem}.tsv"
    threads: 1
    resources:
        **asks("segment_chunk"),
        gpu=GPU,
    params:
        settings=pick("segmentation", "model", "max_size"),
        device=config["device"],
    message:
        "{wildcards.scene}: labelling the photos ({wildcards.scatteritem})"
    script:
        "../scripts/segment_chunk.py"


rule gather_classes:
    input:
        images="results/{scene}/mvs/images",
        chunks=gather.chunk("results/{{scene}}/segmentation/chunks/{scatteritem}.json"),
    output:
        report(
            "results/{scene}/segmentation/classes.json",
            caption="../report/classes.rst",
            category="{scene}",
            labels={"result": "labels"},
        ),
    log:
        "results/{scene}/logs/classes.log",
    benchmark:
        "results/{scene}/benchmarks/classes.tsv"
    resources:
        **asks("gather_classes"),
    params:
        settings=pick("segmentation", "model", "transient", "sky"),
    message:
        "{wildcards.scene}: counting the labels"
    script:
        "../scripts/gather_classes.py"
