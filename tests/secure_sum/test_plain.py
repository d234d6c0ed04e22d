import numpy as np
import pytest

from hansa.secure_sum.plain import Plain
from hansa.types import Answer, Ask, Start


def test_plain_asks_once_and_sends_the_update_as_it_is():
    start = Start(round=0, weights=np.zeros(2, np.float32))
    steps = Plain().collect(start, ("a", "b"), reduce="sum")
    assert next(steps) == Ask(phase="train", clients=("a", "b"), payload=start, reduce="sum")
    answer = Answer(replies={})
    with pytest.raises(StopIteration) as end:
        steps.send(answer)
    assert end.value.value is answer
