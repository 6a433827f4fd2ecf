"""Training: the three stages of 2019, and semantic completion.

The stages in order: `appearance` trains the encoder; `rerender` trains the renderer with that encoder fixed, then all
networks together (stage `finetune`); `completion` trains the label network. Each tells the `loop` what is its own.
`sampler` draws the batches, `steps` holds the optimisation steps of `rerender`, `stage` what all stages share. `log`
records a run, `checkpoint` saves it, `signals` stop it; `parallel` starts a stage on one process or several.
"""
