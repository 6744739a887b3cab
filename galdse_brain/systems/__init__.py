"""Systems: a path, networks and a sampler wired into one enhancer."""
