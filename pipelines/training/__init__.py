"""Train the project's own backbones."""
