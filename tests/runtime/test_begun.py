"""A piece of work whose process died is not begun again without being counted."""

import time

import pytest
import ray
from ray.exceptions import RayActorError

from gc_ray.runtime.begun import Begun, _Seen


def test_a_piece_is_new_once():
    """Pieces are told apart by their value."""
    seen = _Seen()
    assert [seen.is_new(piece) for piece in ((0, 1), (0, 2), (0, 1), (1, 1))] == [True, True, False, True]


@pytest.mark.slow
def test_workers_ask_the_same_and_do_not_begin_in_doubt(ray_session):
    """Whoever asks; when nobody can answer, the driver misses the outcome and counts."""
    begun = Begun()
    ask = ray.remote(num_cpus=1)(lambda piece: begun.is_new(piece))
    assert ray.get(ask.remote((0, 1))) is True
    assert ray.get(ask.remote((0, 1))) is False
    assert begun.is_new((0, 2)) is True
    ray.kill(begun._seen)
    with pytest.raises(RayActorError):  # the kill takes effect some time later
        for _ in range(600):
            ray.get(begun._seen.__ray_ready__.remote(), timeout=60)
            time.sleep(0.1)
    assert begun.is_new((0, 3)) is False
