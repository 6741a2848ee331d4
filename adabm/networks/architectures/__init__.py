"""The architectures that come with the package, one file each; every file here is found, none has to be named elsewhere."""
