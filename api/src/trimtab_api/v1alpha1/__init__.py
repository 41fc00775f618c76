"""Version v1alpha1 of the contract; its public names."""
