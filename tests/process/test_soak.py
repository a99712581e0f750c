"""The soak of servers, in short."""

import pytest
from soak.rounds import Rounds
from soak.services import SERVICES


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_a_server_is_patched_again_and_again_while_it_is_asked(process_guest, service, tmp_path):
    told = []
    result = Rounds(process_guest, service, tmp_path, lambda so_far: told.append(so_far.count)).run(
        session=2, command=1, inside=1
    )
    assert result.right, result
    assert result.rounds == {"session": 2, "inside": 1, "command": 1} and told == [1, 2, 3, 4]
    assert result.answers.count > 4
