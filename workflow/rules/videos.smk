rule videos:
    input:
        [films(scene) for scene in SCENES],
    message:
        "the videos are filmed"


rule film:
    input:
        dataset=FILES.dataset,
        model=FILES.model("finetune"),
        completion=completion,
        detail=detail,
        photos=detailed_photos,
        cloud=cloud,
        colors=colors,
        path=lambda wildcards: config["videos"]["extra"]
        .get(wildcards.kind, {})
        .get("path", []),
    output:
        video=report(
            FILES.video("{kind}"),
            caption="../report/video.rst",
            category="{scene}",
            labels={"result": "video {kind}"},
        ),
        poster=FILES.poster("{kind}"),
    log:
        FILES.log("film", "{kind}"),
    benchmark:
        FILES.record("film", "{kind}")
    threads: 1
    resources:
        **asks("film"),
        gpu=GPU,
    params:
        settings=config["videos"],
        device=config["device"],
    message:
        "{wildcards.scene}: filming {wildcards.kind}"
    script:
        "../scripts/film.py"
