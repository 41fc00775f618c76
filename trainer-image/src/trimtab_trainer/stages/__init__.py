"""One adapter per stage: spec to keywords, domain package, result."""
