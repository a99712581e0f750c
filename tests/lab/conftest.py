"""The laboratory, run once for each flavour of the trampolines."""

import pytest

from oddtoc.lab.run import run_lab


@pytest.fixture(scope="session", params=["process", "kernel"])
def matrix(request):
    return run_lab(process=request.param == "process")
