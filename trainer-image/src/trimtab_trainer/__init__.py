"""The data plane: six stages from a manifest to a measured model."""
