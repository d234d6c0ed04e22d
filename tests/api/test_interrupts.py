import os
import signal
import threading

import pytest

from hansa.api.interrupts import held_back


@pytest.fixture(autouse=True)
def python_handler():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press():
    os.kill(os.getpid(), signal.SIGINT)


def test_the_block_is_finished_before_ctrl_c_counts():
    done = []
    with pytest.raises(KeyboardInterrupt), held_back():
        press()
        press()
        done.append(1)
    assert done == [1]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_without_ctrl_c_nothing_happens():
    with held_back():
        pass
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_error_in_the_block_comes_first():
    with pytest.raises(ValueError, match="mine"), held_back():
        press()
        raise ValueError("mine")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_programs_own_handler_is_left_alone():
    seen = []
    signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))
    with held_back():
        press()
        assert seen == [signal.SIGINT]


def test_other_threads_are_left_alone():
    failed = []

    def work():
        try:
            with held_back():
                pass
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert failed == []
