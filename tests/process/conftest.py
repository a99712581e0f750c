"""A guest with Debian's gdbserver and redis-server, and programs of the tests' own."""

import os
import subprocess
from pathlib import Path

import pytest
from machine import Machine
from soak.own import own_files
from soak.services import nginx_files
from user import User

from oddtoc.build.compile import compile_patch, tool
from oddtoc.debian.programs import program_files
from oddtoc.image.elf import Image
from oddtoc.process.guest import PACKAGES, PROGRAMS, boot_with_gdbserver

_LZMA = "lib/powerpc64le-linux-gnu/liblzma.so.5"
_CXX = "usr/lib/powerpc64le-linux-gnu/libstdc++.so.6"
_HERE = Path(__file__).parent
_SAMPLES = _HERE.parent.parent / "src/oddtoc/samples"
_BOOT_SECONDS = 300
_SERIAL_LINE = 0x30004000
"""Behind those of the guest's own terminals (target/guest_qemu.py): /dev/hvc4."""


def compiled(source, folder, *flags, name=None):
    """Compile a program or library for the guest, C or C++."""
    output = folder / (name or Path(source).stem)
    compiler = tool("g++" if str(source).endswith(".cc") else "gcc")
    subprocess.run([compiler, "-O2", "-Wall", "-Werror", "-o", output, _HERE / source, *flags], check=True)
    return output


@pytest.fixture(scope="session")
def busy(tmp_path_factory):
    """The program busy.c, position independent."""
    return compiled("programs/busy.c", tmp_path_factory.mktemp("busy"), "-pthread", "-pie", "-fPIE")


@pytest.fixture(scope="session")
def user(tmp_path_factory, debian_files):
    """The program user.c and the library libthing.so.1 that it uses, and zlib: path in the guest -> file."""
    folder = tmp_path_factory.mktemp("user")
    library = compiled("programs/library.c", folder, "-shared", "-fPIC", "-Wl,-soname,libthing.so.1", "-Wl,--build-id")
    library = library.rename(folder / "libthing.so.1")
    # as distributions ship them: what it exports, and the rest in a debug file that is known by its build id
    debug = folder / "libthing.debug"
    subprocess.run([tool("objcopy"), "--only-keep-debug", library, debug], check=True)
    subprocess.run([tool("strip"), library], check=True)
    identity = Image.open(library).build_id.hex()
    libraries = [library, debian_files["lib/powerpc64le-linux-gnu/libz.so.1"]]
    program = compiled(
        "programs/user.c", folder, "-pie", "-fPIE", *libraries, "-pthread", "-Wl,-rpath,/lib", "-Wl,--build-id"
    )
    place = f"usr/lib/debug/.build-id/{identity[:2]}/{identity[2:]}.debug"
    return {"bin/user": program, "lib/libthing.so.1": library, place: debug}


@pytest.fixture(scope="session")
def catching(tmp_path_factory):
    """The program catching.cc and the library that it uses, as it is, stripped, or in it: path in the guest -> file."""
    folder = tmp_path_factory.mktemp("catching")
    files = {}
    for name, library_name in (("catching", "libthrowing.so.1"), ("catching-stripped", "libstripped.so.1")):
        flags = ["-shared", "-fPIC", "-Wl,-Bsymbolic-functions", f"-Wl,-soname,{library_name}", "-Wl,--build-id"]
        library = compiled("programs/throwing.cc", folder, *flags, name=library_name)
        flags = ["-pie", "-fPIE", library, "-pthread", "-Wl,-rpath,/lib"]
        files |= {f"bin/{name}": compiled("programs/catching.cc", folder, *flags, name=name)}
        files |= {f"lib/{library_name}": library}
    subprocess.run([tool("strip"), files["lib/libstripped.so.1"]], check=True)
    for name, stripped in (
        ("static", ()),
        ("nameless", ("--strip-symbol=_dl_find_object",)),
        ("bare", ("--strip-all",)),
    ):
        # files are known by their build ids
        both = [_HERE / "programs/throwing.cc", "-static", "-pthread", f"-Wl,--build-id=0x{name.encode().hex()}"]
        program = compiled("programs/catching.cc", folder, *both, name=f"catching-{name}")
        subprocess.run([tool("objcopy"), *stripped, program], check=True)
        files[f"bin/catching-{name}"] = program
    return files


@pytest.fixture(scope="session")
def apart(tmp_path_factory):
    """The program apart.c as an executable of every kind: path in the guest -> file."""
    folder = tmp_path_factory.mktemp("apart")
    kinds = {
        "apart": ("-pie", "-fPIE"),
        "apart-fixed": ("-no-pie", "-fno-pie"),
        "apart-static": ("-static", "-no-pie", "-fno-pie"),
    }
    return {
        f"bin/{name}": compiled("programs/apart.c", folder, *flags, "-Wl,--build-id", name=name)
        for name, flags in kinds.items()
    }


@pytest.fixture(scope="session")
def bare(tmp_path_factory):
    """The program bare.c, and the library that is called as an unwinder's: path in the guest -> file."""
    folder = tmp_path_factory.mktemp("bare")
    (folder / "empty.c").write_text("int empty(void)\n{\n\treturn 0;\n}\n")
    flags = ["-nostdlib", "-fPIE", "-Wl,--build-id", "-Wl,--no-as-needed"]
    soname = ["-shared", "-Wl,-soname,libgcc_s.so.1"]
    library = compiled(folder / "empty.c", folder, *flags, *soname).rename(folder / "libgcc_s.so.1")
    program = compiled("programs/bare.c", folder, *flags, "-pie", library, "-Wl,-rpath,/lib/bare")
    return {"bin/bare": program, "lib/bare/libgcc_s.so.1": library}


@pytest.fixture(scope="session")
def strain(tmp_path_factory):
    """The program strain.c, the library that it uses, and the one that it loads: path in the guest -> file."""
    folder = tmp_path_factory.mktemp("strain")
    flags = ("-shared", "-fPIC", "-Wl,--build-id")
    script = f"-Wl,--version-script={_HERE / 'programs/strained.map'}"
    # local calls, which go to local entries
    library = compiled("programs/strained.c", folder, *flags, "-Wl,-soname,libstrained.so.1,-Bsymbolic", script)
    slow = compiled("programs/slow.c", folder, *flags)
    program = compiled("programs/strain.c", folder, "-pie", "-fPIE", library, "-pthread", "-Wl,-rpath,/lib,--build-id")
    return {"bin/strain": program, "lib/libstrained.so.1": library, "lib/libslow.so.1": slow}


@pytest.fixture(scope="session")
def debian_files():
    """Debian's programs: path in the guest -> file."""
    return program_files((*PACKAGES, "libstdc++6"), (*PROGRAMS, _LZMA, _CXX))


@pytest.fixture(scope="session")
def oddtoc_itself(tmp_path_factory):
    """oddtoc for a guest: path there -> file."""
    return own_files(tmp_path_factory.mktemp("own"))


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """Builds a patch object from a source in the folder `patches`, once."""
    folder = tmp_path_factory.mktemp("objects")
    made = {}

    def get(name, image=None, **options):
        key = name, image, tuple(sorted(options.items()))
        if key not in made:
            sources = (_HERE / f"patches/{name}.c", _SAMPLES / f"{name}.c")
            source = next(source for source in sources if source.exists())
            flags = [f"-DIMAGE={image}"] if image else []
            made[key] = compile_patch(source, folder / f"{name}.o", flags=flags, **options)
        return made[key]

    return get


@pytest.fixture(scope="session")
def process_guest(busy, user, strain, catching, apart, bare, debian_files, oddtoc_itself, tmp_path_factory):
    """A guest with programs of Debian's, and a gdbserver that attaches to any of them."""
    path = tmp_path_factory.mktemp("line") / "socket"
    line = ["-chardev", f"socket,id=line,path={path},server=on,wait=off"]
    line += ["-device", f"spapr-vty,chardev=line,reg={_SERIAL_LINE:#x}"]
    folder = tmp_path_factory.mktemp("programs")
    programs = {"bin/busy": busy}
    programs |= {f"bin/{name}": compiled(f"programs/{name}.c", folder) for name in ("locked", "relay")}
    programs["bin/waiting"] = compiled("programs/waiting.c", folder, "-pthread")
    files = debian_files | nginx_files() | user | strain | catching | apart | bare | oddtoc_itself | programs
    made = boot_with_gdbserver(
        "6.1",
        f"test-process-{os.getpid()}",
        files=files,
        arguments=line,
        # as 7.2 is built (PROC_MEM_FORCE_PTRACE)
        append="proc_mem.force_override=ptrace",
        timeout=_BOOT_SECONDS,
    )
    yield Machine(made, path)
    made.guest.stop()


@pytest.fixture
def user_process(process_guest):
    user = User(process_guest)
    yield user
    process_guest.run(f"kill -9 {user.pid}")


@pytest.fixture
def catching_process(process_guest):
    user = User(process_guest, "catching")
    yield user
    process_guest.run(f"kill -9 {user.pid}")


@pytest.fixture
def strained(process_guest):
    strained = User(process_guest, "strain")
    yield strained
    process_guest.run(f"kill -9 {strained.pid}")
