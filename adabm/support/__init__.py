"""What all other packages stand on: files, registries, the user's own functions and modules, processes."""
