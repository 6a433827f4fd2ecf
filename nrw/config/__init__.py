"""The configuration: `schema.yaml` and `presets/`, `resolve` for what a user wrote, `document` for config/README.md."""
