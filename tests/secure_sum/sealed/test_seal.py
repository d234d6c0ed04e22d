from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import crypto_reference as reference
from hansa.crypto import field, ring, shamir
from hansa.crypto.arithmetic import P
from hansa.crypto.encoding import encoded
from hansa.errors import UpdateError
from hansa.secure_sum.sealed.parameters import choose
from hansa.secure_sum.sealed.seal import NotAccepted, open_sum, public_element, seal

PLACE = (b"configuration", b"roster", 3)


def vectors(parameters, count, seed=0, extreme=False):
    rng = np.random.default_rng(seed)
    bound, shape = parameters.bound, (count, parameters.dimension)
    if extreme:
        return rng.choice(np.array([-bound, bound, 0]), size=shape)
    return rng.integers(-bound, bound + 1, size=shape)


def summed(parameters, xs, place=PLACE):
    total, keys = np.zeros((parameters.elements, ring.N), np.uint64), np.zeros(ring.N, np.uint64)
    for x in xs:
        b, key = seal(x, parameters, *place)
        field.add_into(total, b)
        field.add_into(keys, key.elements())
    return total, keys


@settings(max_examples=15)
@given(
    st.integers(1, 9000),
    st.integers(1, 6),
    st.sampled_from([1, 2**7, 2**15, 2**24, 2**30]),
    st.booleans(),
    st.integers(0, 2**32),
)
def test_the_sum_is_the_plain_integer_sum(dimension, count, bound, extreme, seed):
    parameters = choose(dimension=dimension, members=6, bound=bound)
    xs = vectors(parameters, count, seed, extreme)
    total, keys = summed(parameters, xs)
    assert (open_sum(total, keys, count, parameters, *PLACE) == xs.sum(axis=0)).all()


@pytest.mark.parametrize("sign", [-1, 1])
def test_all_at_the_bound(sign):
    for bound in (2**15, 2**24):
        parameters = choose(dimension=4097, members=10, bound=bound)
        xs = np.full((10, 4097), sign * bound)
        total, keys = summed(parameters, xs)
        assert (open_sum(total, keys, 10, parameters, *PLACE) == xs.sum(axis=0)).all()


def test_a_seal_is_that_of_the_reference():
    parameters = choose(dimension=10, members=3, bound=100)
    x = np.arange(10) - 5
    rng = np.random.default_rng(0)
    drawn = []

    def random(size):
        drawn.append(rng.bytes(size))
        return drawn[-1]

    b, key = seal(x, parameters, *PLACE, random=random)
    s, e = reference.binomial(drawn[0]), reference.binomial(b"".join(drawn[1:]))
    assert key.values.tolist() == s
    transformed = reference.public_elements(reference.encoded("sealed.element", *PLACE, 0), ring.N)
    assert public_element(0, *PLACE).tolist() == transformed
    # The public element is drawn transformed; the product of transforms is that of the ring (test_ring).
    product = ring.from_ntt(
        field.mul(np.array(transformed, np.uint64), ring.to_ntt(field.from_ints(s)))
    ).tolist()
    packed = [int(x[2 * i]) + (int(x[2 * i + 1]) << parameters.place) for i in range(5)]
    expected = [
        (a + err + parameters.scale * value) % P
        for a, err, value in zip(product, e, packed + [0] * (ring.N - 5), strict=True)
    ]
    assert b[0].tolist() == expected


def test_shares_of_the_keys_open_the_sum():
    parameters = choose(dimension=50, members=5, bound=1000)
    points = [1, 2, 3, 4, 5]
    xs = vectors(parameters, 5)
    total = np.zeros((parameters.elements, ring.N), np.uint64)
    held = np.zeros((5, ring.N), np.uint64)
    for x in xs:
        b, key = seal(x, parameters, *PLACE)
        field.add_into(total, b)
        field.add_into(held, shamir.share(key.elements(), points, parameters.threshold))
    for left in range(5):
        chosen = [i for i in range(5) if i != left]
        keys = shamir.restore([points[i] for i in chosen], held[chosen], parameters.threshold).secret
        assert (open_sum(total, keys, 5, parameters, *PLACE) == xs.sum(axis=0)).all()


@pytest.mark.parametrize(
    "place", [(b"other", b"roster", 3), (b"configuration", b"other", 3), (b"configuration", b"roster", 4)]
)
def test_a_sum_opens_at_its_own_place_alone(place):
    parameters = choose(dimension=50, members=3, bound=1000)
    total, keys = summed(parameters, vectors(parameters, 3))
    with pytest.raises(NotAccepted):
        open_sum(total, keys, 3, parameters, *place)


def test_public_elements_differ_and_are_as_documented():
    a = public_element(0, *PLACE)
    assert (a != public_element(1, *PLACE)).any()
    assert a.tolist() == reference.public_elements(encoded("sealed.element", *PLACE, 0), ring.N)


class TestForgedOpenings:
    """A false sum of keys opens nothing, even where the errors would look small."""

    def setup_method(self):
        self.parameters = choose(dimension=4096, members=5, bound=2**24)
        self.xs = vectors(self.parameters, 5)
        self.total, self.keys = summed(self.parameters, self.xs)

    def refused(self, keys, total=None, count=5):
        with pytest.raises(NotAccepted):
            open_sum(self.total if total is None else total, keys, count, self.parameters, *PLACE)

    def test_any_vector_from_one_wrong_answer(self):
        # For one ring element a key can be computed that shifts the sum to any vector, with no error at all.
        forged = np.zeros(4096, np.int64)
        a = public_element(0, *PLACE)
        inverse = np.array([pow(int(v), -1, P) for v in a], np.uint64)
        lifted = field.from_ints(forged * self.parameters.scale)
        keys = ring.from_ntt(field.mul(ring.to_ntt(field.sub(self.total[0], lifted)), inverse))
        product = ring.from_ntt(field.mul(a, ring.to_ntt(keys)))
        assert (field.sub(self.total[0], product) == lifted).all()  # it would open to zeros
        self.refused(keys)

    @pytest.mark.parametrize("change", [1, 200, 201, P // 2, P - 1])
    def test_a_changed_coordinate(self, change):
        keys = self.keys.copy()
        keys[7] = (int(keys[7]) + change) % P
        self.refused(keys)

    def test_the_keys_of_fewer_or_more(self):
        b, key = seal(self.xs[0], self.parameters, *PLACE)
        self.refused(field.add(self.keys, key.elements()))
        self.refused(field.sub(self.keys, key.elements()))
        self.refused(self.keys, field.add(self.total, b))

    def test_values_above_what_so_many_clients_can_send(self):
        xs = np.full((5, 4096), self.parameters.bound)
        total, keys = summed(self.parameters, xs)
        self.refused(keys, total, count=4)


def test_a_client_that_seals_more_than_its_bound_is_found_in_a_sum_of_maxima():
    parameters = choose(dimension=10, members=3, bound=100)
    xs = np.full((3, 10), 100)
    total, keys = summed(parameters, xs)
    cheat = np.zeros((1, ring.N), np.uint64)
    cheat[0, 0] = parameters.scale  # one more
    with pytest.raises(NotAccepted, match="a value of the sum is"):
        open_sum(field.add(total, cheat), keys, 3, parameters, *PLACE)


@pytest.mark.parametrize("where", [5, 6, 4095])
def test_values_in_the_padding_are_refused(where):
    parameters = choose(dimension=9, members=3, bound=100)
    assert parameters.packed
    total, keys = summed(parameters, vectors(parameters, 3))
    total[0, where] = (int(total[0, where]) + parameters.scale) % P
    with pytest.raises(NotAccepted, match="padding"):
        open_sum(total, keys, 3, parameters, *PLACE)


def test_the_second_half_of_an_odd_last_coefficient_is_padding():
    parameters = choose(dimension=9, members=3, bound=100)
    total, keys = summed(parameters, vectors(parameters, 3))
    total[0, 4] = (int(total[0, 4]) + (parameters.scale << parameters.place)) % P
    with pytest.raises(NotAccepted, match="padding"):
        open_sum(total, keys, 3, parameters, *PLACE)


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        (np.zeros(10, np.float64), "float64"),
        (np.zeros(10, np.int32), "int32"),
        ([0] * 10, "list"),
        (np.zeros(9, np.int64), "shape"),
        (np.zeros((1, 10), np.int64), "shape"),
        (np.full(10, 101), "101 is above the bound of 100"),
        (np.full(10, -101), "101 is above"),
        (np.full(10, np.iinfo(np.int64).min), "above"),
    ],
)
def test_what_cannot_be_sealed(vector, message):
    with pytest.raises(UpdateError, match=message):
        seal(vector, choose(dimension=10, members=3, bound=100), *PLACE)


def test_the_same_vector_never_gives_the_same_seal():
    parameters = choose(dimension=10, members=3, bound=100)
    x = np.zeros(10, np.int64)
    first, second = seal(x, parameters, *PLACE), seal(x, parameters, *PLACE)
    assert (first[0] != second[0]).all()
    assert (first[1].values != second[1].values).any()


def test_seals_of_two_vectors_look_alike():
    parameters = choose(dimension=4096, members=3, bound=2**24)
    zero, full = np.zeros(4096, np.int64), np.full(4096, 2**24)
    for x in (zero, full):
        words = np.concatenate([seal(x, parameters, *PLACE)[0].reshape(-1) for _ in range(30)])
        counts = np.bincount((words >> np.uint64(58)).astype(int), minlength=64)
        expected = len(words) / 64
        assert ((counts - expected) ** 2 / expected).sum() < 135  # 63 degrees of freedom: 1 in 10^6
        low = np.bincount((words & np.uint64(63)).astype(int), minlength=64)
        assert ((low - expected) ** 2 / expected).sum() < 135


def test_keys_do_not_print():
    _, key = seal(np.zeros(10, np.int64), choose(dimension=10, members=3, bound=100), *PLACE)
    assert repr(key) == "Key(not shown)"
    assert np.abs(key.values).max() <= 40
    assert (field.to_signed(key.elements()) == key.values).all()
