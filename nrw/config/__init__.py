"""The configuration.

`resolve` completes and checks what a user wrote, with `schema.yaml` and `presets/`: `written` undoes what YAML made of
it, `sources` names the scenes and keeps them apart, `checks` finds what does not go together in it. `choices` says what
`auto` means, and which keys a training stage depends on; `document` makes config/README.md.
"""
