import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from small_logs import dense, logs, random_log, sequences

from tfrec.evaluation.baselines.interactions import aged_matrix, binary_matrix, chunks, gram


@given(logs(num_items=5), st.integers(1, 12))
def test_chunks_are_the_sequences_in_order_and_never_cut(histories, max_events):
    whole = sequences(histories)
    pieces = list(chunks(whole, max_events))
    assert [row for piece in pieces for row in piece.users] == list(whole.users)
    assert sum(piece.num_events for piece in pieces) == whole.num_events
    longest = max(map(len, histories))
    assert all(piece.num_events < max_events + longest for piece in pieces if longest)


@given(logs(num_items=5))
def test_binary_matrix_holds_each_item_once(histories):
    matrix = binary_matrix(sequences(histories), 5)
    assert matrix.dtype == np.float32
    np.testing.assert_array_equal(matrix.toarray(), dense(histories, 5))


def test_aged_matrix_weighs_the_newest_first_and_adds_repeats():
    matrix = aged_matrix(sequences([[3, 1, 3], [0], [], [2, 0, 1, 3]]), 4, [1.0, 0.5, 0.25])
    np.testing.assert_array_equal(
        matrix.toarray(),
        [[0, 0.5, 0, 1.25], [1, 0, 0, 0], [0, 0, 0, 0], [0.25, 0.5, 0, 1]],
    )


def test_gram_in_blocks_is_the_dense_product(monkeypatch):
    monkeypatch.setattr("tfrec.evaluation.baselines.interactions._CELLS_PER_BLOCK", 60)
    histories = random_log(30, 17, 10)
    matrix = dense(histories, 17)
    counts = gram(binary_matrix(sequences(histories), 17))
    np.testing.assert_array_equal(counts, matrix.T @ matrix)
