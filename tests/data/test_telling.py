"""What users say stands where it should, and nothing else changes."""

import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tfrec.data.batches import Batch, TrainingBatches
from tfrec.data.sequences import Columns, Sequences, Texts
from tfrec.data.telling import Telling
from tfrec.data.user_texts import PROFILE, QUERY, PracticeQueries, UserTexts, of_items, put

ITEMS, WIDTH = 12, 3
LENGTHS = st.lists(st.integers(0, 14), min_size=1, max_size=12)


def a_log(lengths: list[int], seed: int = 0) -> Sequences:
    """Random items of which each user takes none twice, with times that rise within a user."""
    rng = np.random.default_rng(seed)
    items = [rng.permutation(ITEMS + 4)[:length] % ITEMS for length in lengths]
    times = [np.sort(rng.integers(0, 1000, length)) for length in lengths]
    stops = np.cumsum(lengths)
    columns = Columns(
        np.concatenate([np.zeros(0, int), *items]).astype(np.int32),
        np.concatenate([np.zeros(0, int), *times]).astype(np.int64),
        None,
        rng.random(int(stops[-1])).astype(np.float32),
    )
    return Sequences(np.arange(len(lengths), dtype=np.int32), stops - lengths, stops, columns)


def profiles(users: int, seed: int = 0, kinds: tuple[str, ...] = (PROFILE, QUERY)) -> UserTexts:
    """A text of its own for two users of three. Its vector begins with its row."""
    rng = np.random.default_rng(seed)
    known = rng.random(users) < 0.7
    of_user = np.where(known, np.cumsum(known) - 1, -1)
    vectors = rng.random((int(known.sum()), WIDTH)).astype(np.float32)
    vectors[:, 0] = np.arange(len(vectors))
    words = [f"text {n}" for n in range(len(vectors))]
    return UserTexts(Texts(ITEMS, vectors, words), of_user, kinds, 1)


def searches(share: float) -> PracticeQueries:
    """Two for each item but the last, of vectors that begin with 1000 and the item."""
    of_item = np.arange(2 * ITEMS).reshape(ITEMS, 2)
    of_item[-1] = -1
    vectors = np.zeros((2 * ITEMS, WIDTH), np.float32)
    vectors[:, 0] = 1000 + np.arange(2 * ITEMS) // 2
    return PracticeQueries(vectors, ["words"] * len(vectors), of_item, share)


@given(LENGTHS, st.integers(2, 9))
def test_a_profile_is_always_read_and_is_as_old_as_what_is_read(
    lengths: list[int], length: int
) -> None:
    log, users = a_log(lengths), profiles(len(lengths))
    asked = np.full(len(log), 2000)
    told = users.told(log, asked, length)
    for user in range(len(log)):
        one, text = told.take(np.array([user])), users.of_user[user]
        rows = one.event_rows()
        items, times = one.items().tolist(), one.columns.timestamp[rows].tolist()
        if text < 0:
            assert items == log.take(np.array([user])).last(length).items().tolist()
            continue
        kept = log.take(np.array([user])).last(length - 1)
        assert items == [ITEMS + text, *kept.items()]
        assert times[0] == (times[1] if len(times) > 1 else 2000)
        assert one.columns.action is not None
        assert one.columns.strength is not None
        assert one.columns.action[rows].tolist() == [1] + [0] * (len(items) - 1)
        assert np.isnan(one.columns.strength[rows]).tolist() == [True] + [False] * (len(items) - 1)
    assert users.told(told, asked, length) is told
    plain = of_items(told)
    assert plain.items().tolist() == [item for item in told.items() if item < ITEMS]
    assert plain.columns.texts is None


def epoch(batches: TrainingBatches, number: int = 0) -> list[Batch]:
    return list(itertools.islice(batches.stream(number, 0), batches.steps_per_epoch))


@settings(max_examples=30)
@given(
    LENGTHS, st.integers(2, 9), st.integers(1, 5), st.sampled_from([0.0, 0.2, 1.0]), st.booleans()
)
def test_training_asks_for_the_item_behind_every_text(
    lengths: list[int], max_length: int, rows: int, share: float, told: bool
) -> None:
    log, users = a_log(lengths), profiles(len(lengths))
    if not told:
        users = UserTexts(users.texts, np.full(len(log), -1), [QUERY], 1)
    telling = Telling(users, searches(share) if share else None)
    assume(len(telling.fit(log, max_length, 1)[0]))
    batches = TrainingBatches(log, ITEMS, max_length, rows, seed=1, telling=telling)
    for number, batch in enumerate([*epoch(batches), *epoch(batches, 1)]):
        items, targets, real = batch["items"], batch["targets"], batch["weights"] > 0
        assert (real == (items >= 0)).all()
        assert (real == (batch["segments"] > 0)).all()
        assert (targets < ITEMS).all()
        assert batch["texts"].shape == epoch(batches)[0]["texts"].shape, number
        said = items >= ITEMS
        for row, column in zip(*np.nonzero(said), strict=True):
            vector = batch["texts"][row, items[row, column] - ITEMS]
            first = (
                column == 0 or batch["segments"][row, column - 1] != batch["segments"][row, column]
            )
            if vector[0] >= 1000:
                assert vector[0] - 1000 == targets[row, column]
                assert batch["actions"][row, column] == users.action(QUERY)
                assert batch["times"][row, column] == batch["request_times"][row, column]
            else:
                assert first
                assert batch["actions"][row, column] == 1
                assert vector[0] in range(len(users.texts.words))
        same = (batch["segments"][:, 1:] == batch["segments"][:, :-1]) & real[:, 1:]
        follows = np.where(said[:, 1:], targets[:, 1:], items[:, 1:])
        assert (follows == targets[:, :-1])[same].all()
        assert (np.diff(batch["times"], axis=1)[same] >= 0).all()


def test_a_run_that_stopped_goes_on_with_the_same_texts() -> None:
    log = a_log([9, 3, 14, 7, 0, 1, 12])
    telling = Telling(profiles(len(log)), searches(0.5))
    batches = TrainingBatches(log, ITEMS, 8, 2, seed=1, telling=telling)
    whole = epoch(batches, 3)
    for batch, again in zip(whole[1:], batches.stream(3, 1), strict=False):
        for name, array in batch.items():
            np.testing.assert_array_equal(array, again[name], name)
    others = epoch(batches, 4)
    assert any((a["items"] != b["items"]).any() for a, b in zip(whole, others, strict=True))


def test_texts_can_stand_between_any_two_histories() -> None:
    log, texts = a_log([2, 0, 3]), Texts(ITEMS, np.zeros((4, WIDTH), np.float32), list("abcd"))
    owner, before = np.array([0, 1, 1, 2]), np.array([2, 0, 0, 3])
    told = put(log, texts, owner, before, np.arange(4), np.ones(4, np.int64), np.full(4, 7))
    a, b, c, d, e = log.items().tolist()
    rows = [told.take(np.array([n])).items().tolist() for n in range(3)]
    assert rows == [[a, b, ITEMS], [ITEMS + 1, ITEMS + 2], [c, d, e, ITEMS + 3]]


def test_nothing_but_users_without_events_gives_no_example() -> None:
    with pytest.raises(ValueError, match="two events"):
        TrainingBatches(a_log([0, 0]), ITEMS, 5, 2, 0, telling=Telling(profiles(2), None))
