import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hansa.encode.integers import (
    GOLDILOCKS,
    MODULUS_32,
    MODULUS_64,
    check_room,
    check_total,
    largest_each,
    square_norm,
)
from hansa.errors import ConfigurationError, UpdateError

any_int64 = st.integers(-(2**63), 2**63 - 1)
vectors = hnp.arrays(np.int64, st.integers(1, 30), elements=any_int64 | st.integers(-5, 5))


@given(vectors)
def test_norms_are_those_of_python_integers(vector):
    assert square_norm(vector) == sum(value**2 for value in vector.tolist())
    assert largest_each(vector) == max(abs(value) for value in vector.tolist())


def test_a_norm_does_not_wrap_where_int64_would():
    assert square_norm(np.full(5000, 2**31, np.int64)) == 5000 * 2**62
    assert square_norm(np.full(4, -(2**63), np.int64)) == 2**128


@given(
    bound=st.integers(0, 2**30),
    clients=st.integers(1, 2**12),
    modulus=st.sampled_from([MODULUS_32, MODULUS_64, GOLDILOCKS]) | st.integers(2, 2**20),
    factor=st.integers(1, 2**30),
    error=st.integers(0, 2**40),
)
def test_room_is_right_to_the_last_client(bound, clients, modulus, factor, error):
    def fits(n):
        return 2 * (n * bound * factor + error) < modulus

    if not fits(clients):
        with pytest.raises(ConfigurationError, match="wrap around"):
            check_room(bound, clients, modulus=modulus, factor=factor, error=error)
        return
    most = check_room(bound, clients, modulus=modulus, factor=factor, error=error)
    assert most >= clients
    assert fits(most)
    assert bound == 0 or not fits(most + 1)


def test_room_in_int32_and_int64_is_strict():
    assert check_room(2**31 - 1, 1, modulus=MODULUS_32) == 1
    assert check_room(2**62, 1, modulus=MODULUS_64) == 1
    with pytest.raises(ConfigurationError, match=r"2147483648.*4294967296 / 2.*At most 0 clients fit"):
        check_room(2**31, 1, modulus=MODULUS_32)
    with pytest.raises(ConfigurationError, match="At most 65535 clients fit"):
        check_room(2**15, 65536, modulus=MODULUS_32)


def test_the_design_documents_table_fits_the_sealed_sum():
    # sealed-sum.md: the scale and the largest bound for n = 10, 100, 1000 at d = 10^6
    for clients, shift, bits in [(10, 22, 26), (100, 25, 26), (1000, 28, 25)]:
        check_room(2**bits, clients, modulus=GOLDILOCKS, factor=2**shift, error=2 ** (shift - 1))


@pytest.mark.parametrize("bad", [-1, 1.0, True, "3", None])
def test_room_refuses_what_is_no_count(bad):
    with pytest.raises(ConfigurationError, match="bound must be an integer"):
        check_room(bad, 1, modulus=MODULUS_32)
    with pytest.raises(ConfigurationError, match="clients must be an integer"):
        check_room(1, bad, modulus=MODULUS_32)


@given(vectors, st.integers(0, 2**33), st.integers(0, 2**33), st.integers(0, 5))
def test_totals_are_checked_exactly(total, norm, each, count):
    values = total.tolist()
    good = sum(v * v for v in values) <= (count * norm) ** 2 and max(map(abs, values)) <= count * each
    if good:
        assert check_total(total, count, bound_l2=norm, bound_each=each) is total
    else:
        with pytest.raises(UpdateError, match="round is void"):
            check_total(total, count, bound_l2=norm, bound_each=each)


def test_forged_totals_on_the_edge():
    total = np.array([6, 8])
    check_total(total, 2, bound_l2=5, bound_each=4)
    with pytest.raises(UpdateError, match="squared norm of 113"):
        check_total(np.array([7, 8]), 2, bound_l2=5, bound_each=4)
    with pytest.raises(UpdateError, match="squared norm of 10"):
        check_total(np.array([1, 3]), 1, bound_l2=3, bound_each=3)
    with pytest.raises(UpdateError, match="magnitude 9"):
        check_total(np.array([0, -9]), 2, bound_l2=5, bound_each=4)
    with pytest.raises(UpdateError, match="dtype float64"):
        check_total(np.array([6.0]), 2, bound_l2=5, bound_each=4)
    with pytest.raises(UpdateError, match="magnitude 9223372036854775808"):
        check_total(np.array([-(2**63)]), 1, bound_l2=5, bound_each=4)
