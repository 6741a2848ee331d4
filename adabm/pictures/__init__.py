"""Pictures: read, write, orient, resize, pair; patches and folders of them."""
