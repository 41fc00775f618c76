"""Manifests of what a job is made of. Pure: specs and settings in, plain data out."""
