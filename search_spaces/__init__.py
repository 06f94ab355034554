"""Search spaces: YAML presets, one idea a file."""
