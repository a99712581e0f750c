"""Debian's apt with a private state: another architecture and other suites, without root, the system left alone.

apt itself finds the mirror (that of the machine's own configuration), checks signatures and checksums, resumes and
retries. Only the release files' expiry date is not enforced: mirrors that lag behind keep old ones for weeks, and what
they name is still signed by Debian and compared by checksum.
"""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from oddtoc.errors import FetchError

ARCHITECTURE = "ppc64el"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_RELEASE_FILE = re.compile(r"^'(?P<site>[^']+)/dists/(?P<suite>[^'/]+)/InRelease'")
_DEBIAN_SUITE = re.compile(r"(?:(?:old)*stable|testing|unstable|sid|bookworm|trixie|forky|duke)(?:-\w+)?\Z")
_SECURITY = "-security"
_FAILED = re.compile(r"E: |W: Failed to fetch ")
"""With none of the lists to be had, apt only warns."""
_FIELD = re.compile(r"^(Package|Version): (\S+)$", re.MULTILINE)

Report = Callable[[str, float], None]
"""Told what is going on, and how far it is (0 to 100)."""


@dataclass(frozen=True)
class Found:
    """A package and the version that apt would download."""

    name: str
    version: str


class PrivateApt:
    """apt for ppc64el with its own state.

    Args:
        folder: where the state lives; made if need be.
        suites: the suites to know, such as ``bookworm`` and ``bookworm-security``.
        architecture: whose package lists; those of all architectures name the packages that are for all of them.

    Raises:
        FetchError: this is no machine with apt, or apt has no Debian mirror configured.
    """

    def __init__(self, folder: Path, suites: Sequence[str], architecture: str = ARCHITECTURE) -> None:
        for program in ("apt-get", "apt-cache", "dpkg", "dpkg-deb"):
            if not shutil.which(program):
                raise FetchError(f"there is no {program} here: Debian's kernels come through apt", advice=_ELSEWHERE)
        if not KEYRING.exists():
            raise FetchError(f"{KEYRING} is missing", advice="apt-get install debian-archive-keyring")
        self.folder = folder
        self.architecture = architecture
        for part in ("lists/partial", "archives/partial"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        (folder / "status").touch()
        (folder / "sources.list").write_text("".join(self._sources(suites)))
        self._configuration = folder / "apt.conf"
        self._configuration.write_text(self._settings())

    def _sources(self, suites: Sequence[str]) -> list[str]:
        sites = mirrors()
        lines = []
        for suite in suites:
            site = sites[_SECURITY] if suite.endswith(_SECURITY) else sites[""]
            if site:
                lines.append(f"deb [arch={self.architecture} signed-by={KEYRING}] {site} {suite} main\n")
        return lines

    def update(self) -> str:
        """Fetch the package lists.

        Returns:
            What apt complained about, in one line; empty when all went well. A suite that could not be had does not
            stop the others.
        """
        result = self._run("apt-get", "update")
        lines = sorted(line for line in result.stderr.splitlines() if _FAILED.match(line))
        return lines[0][len("E: ") :].strip() if lines else ""

    def newest(self, pattern: str) -> Found | None:
        """The newest package whose whole name matches a regular expression; None if there is none."""
        return next(iter(self.newest_first(pattern)), None)

    def newest_first(self, pattern: str) -> list[Found]:
        """All packages whose whole names match a regular expression."""
        names = [name for name in self._names() if re.fullmatch(pattern, name)]
        shown = self._run("apt-cache", "show", "--no-all-versions", *names).stdout if names else ""
        records = (dict(_FIELD.findall(record)) for record in shown.split("\n\n"))
        found = [Found(record["Package"], record["Version"]) for record in records if record]
        return sorted(found, key=functools.cmp_to_key(_compare), reverse=True)

    def versions(self, name: str) -> list[str]:
        """All versions of a package that the lists name, newest first."""
        lines = self._run("apt-cache", "madison", name).stdout.splitlines()
        return list(dict.fromkeys(line.split("|")[1].strip() for line in lines if line.count("|") >= 2))

    def _names(self) -> list[str]:
        return self._run("apt-cache", "pkgnames").stdout.split()

    def simulated(self, packages: Sequence[str]) -> str:
        """What apt prints when it is asked what installing some packages on an empty system would take."""
        return self._run("apt-get", "install", "--simulate", "--no-install-recommends", *packages).stdout

    def download(self, packages: Sequence[Found], report: Report) -> list[Path]:
        """Download packages, checked by apt, and give their files.

        Raises:
            FetchError: apt could not get one.
        """
        archives = self.folder / "archives"
        wanted = [f"{package.name}={package.version}" for package in packages]
        command = self._command("apt-get", "download", "-o", "APT::Status-Fd=1", *wanted)
        with subprocess.Popen(command, cwd=archives, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as apt:
            assert apt.stdout is not None and apt.stderr is not None
            for line in apt.stdout:
                kind, *fields = line.split(":")
                if kind == "dlstatus" and len(fields) > 1:
                    report("downloading", float(fields[1]))
            errors = apt.stderr.read()
        if apt.returncode:
            first = next((line for line in errors.splitlines() if line.startswith("E: ")), f"status {apt.returncode}")
            raise FetchError(
                f"apt could not download {', '.join(p.name for p in packages)}: {first.removeprefix('E: ')}",
                advice="is the network there? run it again to go on where it stopped",
            )
        return [self._archive(archives, package) for package in packages]

    @staticmethod
    def _archive(archives: Path, package: Found) -> Path:
        escaped = package.version.replace(":", "%3a")
        return next(archives.glob(f"{package.name}_{escaped}_*.deb"))

    def _run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self._command(*command), capture_output=True, text=True, check=False)

    def _command(self, program: str, *arguments: str) -> list[str]:
        return [program, "-c", str(self._configuration), *arguments]

    def _settings(self) -> str:
        """Ours on top of the machine's: proxies stay, what the machine does after an update of its own does not."""
        state = {
            "Dir::State": self.folder,
            "Dir::State::Lists": self.folder / "lists",
            "Dir::State::status": self.folder / "status",
            "Dir::Cache": self.folder,
            "Dir::Cache::Archives": self.folder / "archives",
            "Dir::Etc::SourceList": self.folder / "sources.list",
            "Dir::Etc::SourceParts": "-",
            "Dir::Etc::Preferences": "-",
            "Dir::Etc::PreferencesParts": "-",
            "APT::Architecture": self.architecture,
            # root's cache can't be entered by apt's own user
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
            "Acquire::Check-Valid-Until": "false",
            "Acquire::Retries": "3",
        }
        lines = [f"#clear {name};" for name in ("APT::Update", "APT::Architectures", "APT::Default-Release")]
        lines += [f'{key} "{value}";' for key, value in state.items()]
        return "\n".join([*lines, f'APT::Architectures {{"{self.architecture}";}};', ""])


_ELSEWHERE = "elsewhere, give the kernel's ELF image with --vmlinux"


def mirrors() -> dict[str, str]:
    """The Debian mirror that apt is configured with, under "", and that of the security suites, under "-security".

    Raises:
        FetchError: apt's configuration names no Debian mirror.
    """
    # with lists that are empty apt prints all that it would fetch
    command = ["apt-get", "-oDir::State::Lists=/nonexistent", "--print-uris", "update"]
    printed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    sites = {"": "", _SECURITY: ""}
    for line in printed.splitlines():
        match = _RELEASE_FILE.match(line)
        if match and _DEBIAN_SUITE.match(match["suite"]):
            kind = _SECURITY if match["suite"].endswith(_SECURITY) else ""
            sites[kind] = sites[kind] or match["site"]
    if not sites[""]:
        raise FetchError("apt has no Debian mirror configured", advice=_ELSEWHERE)
    return sites


def _compare(one: Found, other: Found) -> int:
    if one.version == other.version:
        return 0
    newer = subprocess.run(["dpkg", "--compare-versions", one.version, "gt", other.version], check=False)
    return 1 if newer.returncode == 0 else -1
