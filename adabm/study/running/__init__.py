"""Tasks, the result cache, processes, timing."""
