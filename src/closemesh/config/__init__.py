"""The configuration: options with their ranges, presets, TOML files and old option names."""
