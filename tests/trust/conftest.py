"""Keys, policies and a log of the test's own."""

import subprocess

import pytest


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The user's configuration and state."""
    for variable, folder in (("XDG_CONFIG_HOME", "config"), ("XDG_STATE_HOME", "state")):
        (tmp_path / folder).mkdir(mode=0o755)
        monkeypatch.setenv(variable, str(tmp_path / folder))
    return tmp_path


@pytest.fixture
def policy(home):
    """Writes the user's policy: `policy("require-signature = true")`."""

    def write(text):
        path = home / "config" / "oddtoc" / "policy.toml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    return write


@pytest.fixture(scope="session")
def keys(tmp_path_factory):
    """Makes a key of a name, once; gives its path."""
    folder = tmp_path_factory.mktemp("keys")

    def get(name, kind="ed25519"):
        path = folder / f"{name}-{kind}"
        if not path.exists():
            subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", name, "-f", path], check=True)
        return path

    return get


@pytest.fixture
def signers(home, keys):
    """Writes an allowed-signers file: `signers("alice", "bob")`."""

    def write(*names, options=""):
        path = home / "allowed"
        lines = [f"{name}@here {options} {keys(name).with_suffix('.pub').read_text()}" for name in names]
        path.write_text("".join(lines))
        return path

    return write
