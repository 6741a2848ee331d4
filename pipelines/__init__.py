"""The commands that the stages of ``dvc.yaml`` run."""
