"""The process around the reconciler: kopf's watches in, a queue of jobs, health."""
