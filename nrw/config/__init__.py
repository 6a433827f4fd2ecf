"""The configuration.

`resolve` completes and checks what a user wrote, with `schema.yaml` and `presets/`; `choices` says what `auto` means,
and which keys a training stage depends on; `document` makes config/README.md.
"""
