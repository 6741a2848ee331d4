"""Turn what was obtained into folders of pictures and weight files."""
