"""Packaged study files (TOML)."""
