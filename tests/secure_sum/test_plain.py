import numpy as np
import pytest

from hansa.secure_sum.plain import Plain
from hansa.types import Answer, Ask, Start


def test_plain_asks_once():
    ask = Ask(phase="train", clients=("a", "b"), payload=Start(round=0, weights=np.zeros(2, np.float32)))
    steps = Plain().collect(ask, number=0)
    assert next(steps) is ask
    answer = Answer(replies={})
    with pytest.raises(StopIteration) as end:
        steps.send(answer)
    assert end.value.value is answer
