"""A target that oddtoc is connected to: what runs there, its threads and its records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

from oddtoc.debian.kernels import fetched_kernels
from oddtoc.errors import UsageError
from oddtoc.image.elf import Image
from oddtoc.kernel.running import RunningKernel
from oddtoc.live.journal import Journal, PatchStatus
from oddtoc.live.keeper import Keeper
from oddtoc.live.quiescence import KernelThreads
from oddtoc.live.running import Running, Target, Threads
from oddtoc.process.running import RunningProcess
from oddtoc.process.threads import ProcessThreads
from oddtoc.slots import ReturnSlots
from oddtoc.target.connect import connect, parse_target
from oddtoc.target.process import ProcessTarget
from oddtoc.target.qemu import QemuTarget


class Attached:
    """A connection to a running kernel, identified by its build id, or to a process.

    Use it as a context manager; leaving it lets the target run on.

    Args:
        target: where it runs, already connected.
        image: the kernel's image.
        name: of the target, as the user wrote it.
        modules: folders with the files of its modules.

    Attributes:
        running: what runs there.

    Raises:
        MismatchError: another kernel runs there.
    """

    def __init__(self, target: QemuTarget, image: Image, name: str = "", modules: Sequence[Path] = ()) -> None:
        kernel = RunningKernel(image, target.read_many, modules)
        kernel.check_identity()
        target.mapping = kernel
        self._hold(target, name, kernel, lambda: KernelThreads(kernel, target, self._slots))

    def _hold(self, target: Target, name: str, running: Running, threads: Callable[[], Threads]) -> None:
        self.target = target
        self.keeper = Keeper(name or target.name)
        self.running = running
        self._make_threads = threads

    @property
    def kernel(self) -> RunningKernel:
        """The running kernel.

        Raises:
            UsageError: the target is a process.
        """
        if not isinstance(self.running, RunningKernel):
            raise self._is_process()
        return self.running

    @property
    def guest(self) -> QemuTarget:
        """The guest that a kernel runs in.

        Raises:
            UsageError: the target is a process.
        """
        if not isinstance(self.target, QemuTarget):
            raise self._is_process()
        return self.target

    def _is_process(self) -> UsageError:
        return UsageError(f"{self.keeper.target} is a process", advice="this works with kernels only")

    @classmethod
    def open(
        cls,
        target: str,
        *,
        vmlinux: str | Path | None = None,
        modules: str | Path | None = None,
        remote: bool = False,
    ) -> Self:
        """Connect to a target.

        Args:
            target: ``guest:NAME``, ``gdb://host:port``, ``qmp:PATH`` or the path of a debug server's Unix socket; for
                a process behind a gdbserver ``#PID`` stands behind its address; ``pid:N`` is one of this machine.
            vmlinux: the kernel's ELF image with symbols; known already for ``guest:NAME``.
            modules: a folder with files of its modules; those of Debian's kernels in guests are known.
            remote: whether the debug server may be on another machine. Nothing on the way there is encrypted, and
                nobody proves who they are.

        Raises:
            UsageError: the target is malformed or on another machine, or an image is needed.
            TargetError: nobody answers there; TargetInUseError: somebody else is connected.
            MismatchError: another kernel runs there.
        """
        address = parse_target(target)
        vmlinux = vmlinux or address.vmlinux
        image = Image.open(vmlinux) if vmlinux else None
        if image is None and address.qmp:
            raise UsageError(f"which kernel runs at {target}?", advice="give its image with --vmlinux PATH")
        connection = connect(address, remote=remote)
        try:
            if isinstance(connection, ProcessTarget):
                return cls._of_process(connection, target)
            if image is None:
                raise UsageError(f"which kernel runs at {target}?", advice="give its image with --vmlinux PATH")
            return cls(connection, image, target, _module_folders(modules, address.vmlinux))
        except BaseException:
            connection.close()
            raise

    @classmethod
    def _of_process(cls, target: ProcessTarget, name: str) -> Self:
        process = RunningProcess(target)
        session = cls.__new__(cls)
        session._hold(target, name, process, lambda: ProcessThreads(process, target, session._slots))
        return session

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the target, which runs on."""
        self.target.close()

    def journal(self) -> Journal:
        """The target's records, read now, with the live words they speak of.

        Raises:
            RecordError: the journal in the target is damaged.
        """
        return Journal(self.running.journal, self.running.read_many, self.running.is_here)

    def status(self) -> list[PatchStatus]:
        """Every recorded patch that was not reverted, oldest first, judged by the live words."""
        return self.journal().patches

    @cached_property
    def threads(self) -> Threads:
        """The threads of the target, to be looked at."""
        return self._make_threads()

    def _slots(self) -> list[ReturnSlots]:
        return self.journal().return_slots


def _module_folders(given: str | Path | None, vmlinux: Path | None) -> list[Path]:
    """Where the files of a kernel's modules may be: where the user says, and what was fetched with a guest's kernel."""
    fetched = [kernel.modules for kernel in fetched_kernels() if vmlinux and kernel.vmlinux.samefile(vmlinux)]
    return [*([Path(given)] if given else []), *fetched]
