"""What the files of a fix are part of: the kernel proper, or one of its modules."""

from __future__ import annotations

from functools import cached_property, lru_cache
from pathlib import Path

from oddtoc.build.boot import still_there
from oddtoc.build.layouts import InPadding, LayoutChange, unlike_kernel
from oddtoc.build.names import Found, KernelNames, global_of
from oddtoc.build.objectfile import NewSymbol, ObjectFile
from oddtoc.build.tree import KernelTree
from oddtoc.errors import BuildError
from oddtoc.image.elf import Image
from oddtoc.kernel.spot import KERNEL_PROPER, Spot
from oddtoc.link.fidelity import Fidelity
from oddtoc.link.object import KERNEL, MODULE_SUFFIX
from oddtoc.link.selflinked import link_by_itself, where
from oddtoc.link.unitobject import SHN_ABS, UnitObject
from oddtoc.target.modules import depends_on, read_module

_INIT = ".init."


class Proper:
    """The kernel proper.

    Attributes:
        name: what a patch object calls it.
        image: its code.
        kernel: the image of the kernel proper.
        ran_once: what is true of its init code.
    """

    name = KERNEL
    ran_once = "only ran at boot"

    def __init__(self, kernel: Image) -> None:
        self.image = self.kernel = kernel

    def stays_for(self, other: Proper) -> bool:
        """Whether it is there for as long as something else is, so that this may use what is new in it."""
        return other.name != self.name

    def names(self, fidelity: Fidelity, old: UnitObject) -> KernelNames:
        """What names of a file stand for."""
        return KernelNames(self.image, fidelity, old)

    def still_there(self, fidelity: Fidelity) -> set[str]:
        """The functions of a file whose memory is not given back after boot."""
        return still_there(fidelity.addresses, self.image)

    def unlike(self, before: Path, after: Path, in_padding: InPadding) -> list[LayoutChange]:
        """The structures of a changed file that are not those of the running kernel.

        Args:
            before, after: the file, compiled with type information.
            in_padding: members that may be where the kernel has padding.
        """
        del before
        return list(unlike_kernel(self.kernel, after, in_padding))

    def is_given_back(self, address: int) -> bool:
        """Whether memory at an address is given back after boot."""
        begin, end = (self.image.symbols.one(name).address for name in ("__init_begin", "__init_end"))
        return begin <= address < end

    def data_spot(self, name: str, address: int) -> Spot | None:
        """A place in it that depends on where it is loaded; None if that is always at one address."""
        del name, address
        return None

    def which(self, name: str, address: int) -> str:
        """What tells a function from others of that name; empty where there are none."""
        return f"{address:#x}" if self.has_several(name) else ""

    def has_several(self, name: str) -> bool:
        """Whether more than one function has a name."""
        return len({symbol.address for symbol in self.image.symbols.find(name) if symbol.is_function}) > 1


class Module(Proper):
    """A module, by its file.

    Args:
        kernel: the image of the kernel proper.
        folder: holds the modules of that kernel.
        name: as the kernel writes it.

    Raises:
        GuestError: there is no file of it. ImageError: that is damaged.
    """

    ran_once = "only ran when the module was loaded"

    def __init__(self, kernel: Image, folder: Path, name: str) -> None:
        super().__init__(kernel)
        self.name = name + MODULE_SUFFIX
        self._folder = folder
        self._content = read_module([folder], name)
        self.image = link_by_itself(self.name, self._content)

    def names(self, fidelity: Fidelity, old: UnitObject) -> KernelNames:
        """What names of a file stand for."""
        return ModuleNames(self, fidelity, old)

    def still_there(self, fidelity: Fidelity) -> set[str]:
        """The functions of a file whose memory is not given back when the module is loaded."""
        return {name for name, address in fidelity.addresses.items() if not self.is_given_back(address)}

    def unlike(self, before: Path, after: Path, in_padding: InPadding) -> list[LayoutChange]:
        """The structures of a changed file that are not those of the running kernel, but for the module's own ones."""
        own = {change.name for change in unlike_kernel(self.kernel, before)}
        return [change for change in unlike_kernel(self.kernel, after, in_padding) if change.name not in own]

    def is_given_back(self, address: int) -> bool:
        """Whether memory at an address is given back when the module is loaded."""
        return where(self.image, address)[0].startswith(_INIT)

    def data_spot(self, name: str, address: int) -> Spot | None:
        """A place in it that depends on where it is loaded."""
        return self.spot(name, address)

    def which(self, name: str, address: int) -> str:
        """What tells a function from others of that name; empty where there are none."""
        return str(self.spot("", address)) if self.has_several(name) else ""

    def spot(self, name: str, address: int) -> Spot:
        """A place in it that does not depend on where it is loaded."""
        return Spot(name, *where(self.image, address))

    def stays_for(self, other: Proper) -> bool:
        """Whether it is there for as long as something else is, so that this may use what is new in it."""
        return isinstance(other, Module) and self.name in {image.path.name for image in other.needed}

    @cached_property
    def needed(self) -> list[Image]:
        """The files of the modules that it needs."""
        needed = depends_on(self._content)
        return [Image.of_bytes(f"{name}{MODULE_SUFFIX}", read_module([self._folder], name)) for name in needed]


@lru_cache(maxsize=4)
def _module(kernel: Image, folder: Path, name: str) -> Module:
    return Module(kernel, folder, name)


class Subjects:
    """What is there to be changed.

    Args:
        tree: the kernel's source.
        kernel: the image of the kernel proper.
        modules: the folder with its modules.
    """

    def __init__(self, tree: KernelTree, kernel: Image, modules: Path | None) -> None:
        self._tree = tree
        self._modules = modules
        self._known = {"": Proper(kernel)}

    def of(self, file: str) -> Proper:
        """What a file is part of.

        Raises:
            BuildError: that is a module, and there is no folder with modules.
        """
        name = self._tree.module_of(file)
        if name not in self._known:
            if self._modules is None:
                raise BuildError(
                    f"{file} is part of the module {name}", advice="give the folder of the kernel's modules"
                )
            self._known[name] = _module(self._known[""].kernel, self._modules, name)
        return self._known[name]

    def all(self) -> list[Proper]:
        """All that files were found to be part of, the kernel proper first."""
        return list(self._known.values())


class ModuleNames(KernelNames):
    """Resolves names of one unit of a module. See `KernelNames`."""

    def __init__(self, module: Module, fidelity: Fidelity, old: UnitObject) -> None:
        super().__init__(module.image, fidelity, old)
        self._module = module

    def placed(self, target: ObjectFile, name: str, found: Found) -> NewSymbol:
        """The symbol of a patch that stands for a place in the running module, or the kernel."""
        if found.is_of_kernel:
            return target.outside(str(Spot(name, KERNEL_PROPER, found.address)))
        return target.outside(str(self._module.spot(name, found.address)))

    def look_up(self, name: str) -> Found | None:
        """A global name: of another file of the module, of the kernel proper, or of a module that this one needs."""
        own = global_of(symbol for symbol in self.image.symbols.find(name) if symbol.section_index != SHN_ABS)
        if own is not None:
            return own
        of_kernel = global_of(self._module.kernel.symbols.find(name))
        if of_kernel is not None:
            return Found(name, of_kernel.address, of_kernel.other, of_kernel.unique, is_of_kernel=True)
        found = (global_of(image.symbols.find(name)) for image in self._module.needed)
        return next((Found(name, one.address, one.other, unique=True) for one in found if one), None)
