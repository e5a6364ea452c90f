"""TextKNN against its formula, on words and on vectors."""

import numpy as np
import pytest
from small_logs import cases, random_log, sequences

from tfrec.errors import UserError
from tfrec.evaluation.baselines import TextKNN, run_baselines, settings_of, tune
from tfrec.text.tf_idf import tf_idf

ITEMS = 9


def vectors(seed=0):
    found = np.random.default_rng(seed).normal(size=(ITEMS, 4)).astype(np.float32)
    found[2] = 0  # of this one nothing is known
    return found


def reference(histories, rows, half_life, sharpness):
    scores = np.zeros((len(histories), len(rows)))
    for user, items in enumerate(histories):
        for age, item in enumerate(reversed(items)):
            for other in range(len(rows)):
                lengths = np.linalg.norm(rows[item]) * np.linalg.norm(rows[other])
                if lengths > 0:
                    cosine = max(0.0, rows[item] @ rows[other] / lengths)
                    scores[user, other] += 0.5 ** (age / half_life) * cosine**sharpness
    return scores


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize(("half_life", "sharpness"), [(2.0, 1.0), (5.0, 4.0)])
def test_scores_are_the_formula(sparse, half_life, sharpness):
    from scipy.sparse import csr_matrix

    rows = vectors()
    given = csr_matrix(rows) if sparse else rows
    model = TextKNN("words", lambda: given, half_life, sharpness)
    model.fit(sequences([]), ITEMS)
    histories = [*random_log(6, ITEMS, 7), [], [2, 4, 4]]
    expected = reference(histories, rows, half_life, sharpness)
    np.testing.assert_allclose(model.score(cases(histories)), expected, rtol=1e-5, atol=1e-6)


def test_tf_idf_is_its_formula():
    texts = ["Red fox, red hen", "the fox", "", "红 狐 fox", "红hen"]
    found = tf_idf(texts).toarray()
    words = [["red", "fox", "red", "hen"], ["the", "fox"], [], ["红", "狐", "fox"], ["红", "hen"]]
    kept = ["fox", "hen", "红"]  # the others are in one text only
    expected = [
        [
            (1 + np.log(text.count(word))) * np.log(5 / sum(word in other for other in words))
            if word in text
            else 0
            for word in kept
        ]
        for text in words
    ]
    np.testing.assert_allclose(np.sort(found, axis=1), np.sort(expected, axis=1), rtol=1e-5)
    assert tf_idf(["", ""]).shape == (2, 0)


def test_texts_without_common_words_say_nothing():
    model = TextKNN("words", lambda: tf_idf(["a", "b", "c"]))
    model.fit(sequences([]), 3)
    assert not model.score(cases([[0, 1]])).any()


def test_tuning_computes_the_vectors_once_and_finds_what_is_read_alike():
    """Everybody takes what reads like the thing before: an item never taken comes first."""
    asked = []
    rows = np.repeat(np.eye(3, dtype=np.float32), 3, axis=0)

    def given():
        asked.append(1)
        return rows

    validation = cases([[0], [3], [6], [0, 4]], targets=[1, 4, 7, 5])
    tuned = tune(TextKNN("kinds", given), sequences([[0]]), validation, ITEMS)
    assert len(asked) == 1
    assert len(tuned.trials) > 2
    assert set(settings_of(tuned.baseline)) == {"half_life", "sharpness"}
    assert set(np.argsort(-tuned.baseline.score(cases([[6]]))[0])[:3].tolist()) == {6, 7, 8}


def test_asked_for_without_texts_it_says_what_is_missing():
    with pytest.raises(UserError, match=r"--baselines encoder-knn needs texts.*--text-encoder"):
        run_baselines(sequences([[0, 1]]), cases([]), 2, names=["encoder-knn"])
    texts = {"text-knn": lambda: tf_idf(["a b", "b"])}
    [found] = run_baselines(sequences([[0, 1]]), cases([]), 2, names=["text-knn"], texts=texts)
    assert found.name == "TF-IDF kNN"
