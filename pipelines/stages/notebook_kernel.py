"""The kernel that a notebook runs in: this interpreter, with nothing of the user's settings, ended with the run."""

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from traitlets import default

from adabm.study.variables import EXECUTOR_VARIABLE, STAGE_VARIABLE

CACHE_VARIABLE = "ADABM_CACHE"


class OwnKernel(AsyncKernelManager):
    """Starts the running interpreter, whatever the user or ``$JUPYTER_PATH`` registered as "python3"."""

    @default("kernel_spec_manager")
    def _native_kernel_only(self) -> KernelSpecManager:
        return KernelSpecManager(kernel_dirs=[])

    @default("connection_file")
    def _within_the_scratch_folder(self) -> str:
        """A file of its own beside others' temporary ones would stay after an interruption while the kernel starts."""
        return str(Path(os.environ["IPYTHONDIR"], "connection.json"))

    @classmethod
    @contextlib.contextmanager
    def ended(cls) -> Iterator[type["OwnKernel"]]:
        """Give a class whose kernels do not outlive the block: papermill leaves one that it was interrupted in starting."""
        made = []

        class Kernel(cls):
            def __init__(self, *values: object, **named: object) -> None:
                super().__init__(*values, **named)
                made.append(self)

        try:
            yield Kernel
        finally:
            for process in filter(None, (getattr(kernel.provisioner, "process", None) for kernel in made)):
                process.kill()
                process.wait()


@contextlib.contextmanager
def kernel_environment(
    scratch: str, stage: str, executor: str | None = None, from_tables: bool = False
) -> Iterator[None]:
    """Keep from the kernel what would make its output depend on the user or the run; tell it where tasks are to run."""
    settings = {
        "PYTHONHASHSEED": "0",  # the order of sets of strings
        STAGE_VARIABLE: stage,
        "IPYTHONDIR": scratch,  # the user's start-up files and settings
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",  # a preset "agg" would show no figure
    }
    if executor is not None and not os.environ.get(EXECUTOR_VARIABLE):
        settings[EXECUTOR_VARIABLE] = executor
    if from_tables:  # whatever would measure finds a cache that cannot be a folder
        closed = Path(scratch, "nothing is measured with --from-tables")
        closed.touch()
        settings[CACHE_VARIABLE] = str(closed)
    profile = Path(scratch, "profile_default")
    profile.mkdir()  # the kernel warns, at each start, that its connection to this very process is not encrypted
    (profile / "ipython_kernel_config.py").write_text("c.Application.log_level = 'CRITICAL'\n")
    saved = {key: os.environ.get(key) for key in settings}
    level = logging.getLogger("papermill").level
    os.environ.update(settings)
    logging.getLogger("papermill").setLevel(logging.ERROR)  # its inspection warns of names it fails to parse
    try:
        yield
    finally:
        logging.getLogger("papermill").setLevel(level)
        for key, value in saved.items():
            os.environ.pop(key) if value is None else os.environ.update({key: value})
