"""Patch objects for tests on running kernels."""

from pathlib import Path

import pytest

from oddtoc.build.compile import compile_patch

_HERE = Path(__file__).parent
_SAMPLES = _HERE.parent.parent / "src/oddtoc/samples"


@pytest.fixture(scope="session")
def objects(tmp_path_factory):
    """Builds a patch object from a source, once."""
    folder = tmp_path_factory.mktemp("objects")
    built = {}

    def get(source, **options):
        key = source, tuple(sorted(options.items()))
        if key not in built:
            path = _SAMPLES / source if (_SAMPLES / source).exists() else _HERE / "patches" / source
            built[key] = compile_patch(path, folder / f"{path.stem}.o", **options)
        return built[key]

    return get
