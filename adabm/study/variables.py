"""Environment variables by which a stage of the pipeline speaks to the notebook that it runs."""

STAGE_VARIABLE = "ADABM_STAGE"  # JSON of params_file, block, its values, those replaced, and notebook
EXECUTOR_VARIABLE = "ADABM_EXECUTOR"  # where tasks run, see :mod:`adabm.study.running.executors`; users set it, too
