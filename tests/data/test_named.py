"""Every named set: small files in its own layout, through the real ingestion."""

from __future__ import annotations

import gzip
import http.server
import json
import threading
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tfrec.data import named
from tfrec.data.download import Remote
from tfrec.data.ingest import prepare
from tfrec.data.layout import LINE
from tfrec.data.named import amazon, mind, movielens, steam
from tfrec.data.named.named_set import NamedSet
from tfrec.data.options import DataConfig
from tfrec.data.prepared import PreparedData
from tfrec.errors import UserError

LATIN = "iso-8859-1"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "set"
    made.mkdir()
    return made


def prepared(name: str, folder: Path) -> PreparedData:
    """The set in `folder`, ingested. Any rejected row fails the test."""
    layout = named.layout(name, folder, folder.parent / "cache", print)
    config = DataConfig(data=f"{name}:{folder}", max_bad_rows=0.0)
    return prepare(layout, config, folder.parent / "out", lambda line: None)


def events(data: PreparedData) -> list[tuple[str, str, int]]:
    """(user id, item id, unix seconds) of every event, user after user."""
    users = np.repeat(np.arange(data.num_users), np.diff(data.user_offsets))
    user_ids, item_ids = (
        data.users["user_id"].to_pylist(),
        data.items["item_id"].to_pylist(),
    )
    return [
        (user_ids[user], item_ids[item], int(time) // 1000)
        for user, item, time in zip(users, data.columns.item, data.columns.timestamp, strict=True)
    ]


def items(data: PreparedData) -> dict[str, dict[str, object]]:
    return {row.pop("item_id"): row for row in data.items.to_pylist()}


def strengths(data: PreparedData) -> list[float]:
    assert data.columns.strength is not None
    return [float(value) for value in data.columns.strength]


def write_100k(folder: Path) -> None:
    (folder / "u.data").write_text(
        "196\t242\t3\t881250949\n196\t302\t5\t881250900\n22\t242\t1\t878887116\n", LATIN
    )
    flags = ["0"] * 19
    comedy, both = flags.copy(), flags.copy()
    comedy[5] = both[5] = both[8] = "1"
    (folder / "u.item").write_text(
        "242|Cité des enfants perdus, La (1995)|01-Jan-1995||http://x/?a|" + "|".join(both) + "\n"
        '302|"Quoted" Story (1997)|||http://y|' + "|".join(comedy) + "\n",
        LATIN,
    )
    (folder / "u.user").write_text("196|49|M|writer|55105\n22|25|F|señora|V0N4M\n", LATIN)


def test_movielens_100k(folder: Path) -> None:
    write_100k(folder)
    data = prepared("movielens-100k", folder)
    assert sorted(events(data)) == [
        ("196", "242", 881250949),
        ("196", "302", 881250900),
        ("22", "242", 878887116),
    ]
    assert items(data)["242"] == {
        "title": "Cité des enfants perdus, La (1995)",
        "categories": ["Comedy", "Drama"],
    }
    assert items(data)["302"]["title"] == '"Quoted" Story (1997)'
    users = {row["user_id"]: row for row in data.users.to_pylist()}
    assert users["22"]["occupation"] == "señora"
    assert users["196"]["zip_code"] == "55105"
    assert sorted(strengths(data)) == [1, 3, 5]


def test_genre_columns_are_those_of_the_readme() -> None:
    assert len(movielens.GENRES_100K) == 19
    assert movielens.GENRES_100K[5] == "Comedy"
    assert movielens.GENRES_100K[8] == "Drama"


def write_1m(folder: Path) -> None:
    (folder / "ratings.dat").write_text(
        "1::1193::5::978300760\n1::661::3::978302109\n2::1193::4::978298413\n", LATIN
    )
    (folder / "movies.dat").write_text(
        "661::James and the Giant Peach (1996)::Animation|Children's|Musical\n"
        "1193::Amélie: One, Two (2001)::Drama\n",
        LATIN,
    )
    (folder / "users.dat").write_text("1::F::1::10::48067\n2::M::56::16::70072\n", LATIN)


def test_movielens_1m(folder: Path) -> None:
    write_1m(folder)
    data = prepared("movielens-1m", folder)
    assert events(data)[:2] == [("1", "1193", 978300760), ("1", "661", 978302109)]
    assert items(data) == {
        "661": {
            "title": "James and the Giant Peach (1996)",
            "categories": ["Animation", "Children's", "Musical"],
        },
        "1193": {"title": "Amélie: One, Two (2001)", "categories": ["Drama"]},
    }
    assert data.users.to_pylist()[0] == {
        "user_id": "1",
        "gender": "F",
        "age": "1",
        "occupation": "10",
        "zip_code": "48067",
    }
    assert data.meta.time_unit == "seconds"
    assert data.meta.source == f"movielens-1m:{folder}"


def test_events_alone_are_enough(folder: Path) -> None:
    write_1m(folder)
    (folder / "movies.dat").unlink()
    (folder / "users.dat").unlink()
    data = prepared("movielens-1m", folder)
    assert data.num_events == 3
    assert data.meta.text_columns == []


def test_the_folder_around_the_files_will_do(folder: Path) -> None:
    (folder / "ml-1m").mkdir()
    write_1m(folder / "ml-1m")
    assert prepared("movielens-1m", folder).num_events == 3


@pytest.mark.parametrize("name", ["movielens-latest-small", "movielens-20m", "movielens-32m"])
def test_movielens_csv(folder: Path, name: str) -> None:
    (folder / "ratings.csv").write_text(
        "userId,movieId,rating,timestamp\n1,2,3.5,1112486027\n1,29,0.5,1112484676\n", "utf-8"
    )
    (folder / "movies.csv").write_text(
        "movieId,title,genres\n"
        '2,"American President, The (1995)",Comedy|Drama|Romance\n'
        "29,Café "
        "au lait"
        " (1997),(no genres listed)\n",
        "utf-8",
    )
    data = prepared(name, folder)
    assert events(data) == [("1", "29", 1112484676), ("1", "2", 1112486027)]
    assert strengths(data) == [0.5, 3.5]
    assert items(data)["2"] == {
        "title": "American President, The (1995)",
        "categories": ["Comedy", "Drama", "Romance"],
    }
    assert items(data)["29"]["categories"] == []


def test_goodbooks_keeps_the_order_of_the_file(folder: Path) -> None:
    (folder / "ratings.csv").write_text(
        "user_id,book_id,rating\n1,258,5\n2,4081,4\n2,260,5\n1,4081,3\n", "utf-8"
    )
    (folder / "books.csv").write_text(
        "book_id,goodreads_book_id,authors,original_publication_year,title\n"
        '258,9,"Zafón, Carlos Ruiz",2001.0,"The Shadow of the Wind"\n'
        "260,8,Dale Carnegie,1936.0,How to Win\n4081,7,Ana Núñez,,Sin año\n",
        "utf-8",
    )
    data = prepared("goodbooks-10k", folder)
    assert [event[:2] for event in events(data)] == [
        ("1", "258"),
        ("1", "4081"),
        ("2", "4081"),
        ("2", "260"),
    ]
    assert data.meta.time_unit == "none"
    assert items(data)["258"] == {
        "title": "The Shadow of the Wind",
        "authors": "Zafón, Carlos Ruiz",
    }


REVIEWS = [
    {
        "rating": 4.0,
        "title": "Très bien",
        "text": 'It\'s "fine"\nreally',
        "images": [{"small_image_url": "x"}],
        "asin": "A1-red",
        "parent_asin": "A1",
        "user_id": "U1",
        "timestamp": 1588615855070,
        "helpful_vote": 0,
        "verified_purchase": True,
    },
    {
        "rating": 5.0,
        "title": "",
        "text": "",
        "images": [],
        "asin": "B2",
        "parent_asin": "B2",
        "user_id": "U1",
        "timestamp": 1588615854000,
        "helpful_vote": 1,
        "verified_purchase": False,
    },
]
PRODUCTS = [
    {
        "main_category": "All Beauty",
        "title": "Crème de la Mer",
        "features": ["soft", "blue"],
        "description": ["One.", "Two."],
        "price": 12.5,
        "store": "Mer",
        "categories": ["Beauty", "Skin Care"],
        "details": {"Brand": "Mer", "Weight": 3},
        "parent_asin": "A1",
        "bought_together": None,
    },
    {
        "main_category": None,
        "title": "Comb",
        "features": [],
        "description": [],
        "price": "from 3",
        "store": None,
        "categories": [],
        "details": {},
        "parent_asin": "B2",
        "bought_together": None,
    },
]


def write_lines(path: Path, rows: list[dict[str, object]]) -> None:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wt", encoding="utf-8") as file:
        file.write(text)


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
def test_amazon(folder: Path, suffix: str) -> None:
    write_lines(folder / f"All_Beauty{suffix}", REVIEWS)
    write_lines(folder / f"meta_All_Beauty{suffix}", PRODUCTS)
    data = prepared("amazon-reviews-2023/All_Beauty", folder)
    assert events(data) == [("U1", "B2", 1588615854), ("U1", "A1", 1588615855)]
    assert int(data.columns.timestamp[1]) == 1588615855070
    assert strengths(data) == [5.0, 4.0]
    assert data.meta.time_unit == "milliseconds"
    assert items(data) == {
        "A1": {
            "title": "Crème de la Mer",
            "features": "soft blue",
            "description": "One. Two.",
            "categories": ["Beauty", "Skin Care"],
        },
        "B2": {"title": "Comb", "features": "", "description": "", "categories": []},
    }


BEHAVIORS_TRAIN = (
    "1\tU13740\t11/11/2019 9:05:58 AM\tN55189 N42782\tN55689-1 N35729-0 N4642-1\n"
    "2\tU91836\t11/12/2019 12:11:30 AM\t\tN31739-0 N6072-1\n"
)
BEHAVIORS_DEV = "1\tU13740\t11/15/2019 8:55:22 PM\tN55189\tN4642-0 N7000-1\n"


def article(item: str, title: str, abstract: str = "") -> str:
    return f"{item}\tnews\tnewsworld\t{title}\t{abstract}\thttps://x/{item}.html\t[]\t[]\n"


def write_mind(train: Path, dev: Path | None) -> None:
    train.mkdir(parents=True, exist_ok=True)
    (train / "behaviors.tsv").write_text(BEHAVIORS_TRAIN, "utf-8")
    shared = article("N4642", '"50 Worst" Habits: An unclosed "quote', "Café life")
    seen = [article(item, item.lower()) for item in ("N55689", "N35729", "N31739", "N6072")]
    (train / "news.tsv").write_text(shared + "".join(seen), "utf-8")
    if dev is not None:
        dev.mkdir(parents=True, exist_ok=True)
        (dev / "behaviors.tsv").write_text(BEHAVIORS_DEV, "utf-8")
        (dev / "news.tsv").write_text(shared + article("N7000", "New"), "utf-8")


def test_mind(folder: Path) -> None:
    write_mind(folder / "MINDsmall_train", folder / "MINDsmall_dev")
    data = prepared("mind-small", folder)
    morning, midnight, evening = 1573463158, 1573517490, 1573851322
    assert sorted(events(data)) == [
        ("U13740", "N4642", morning),
        ("U13740", "N55689", morning),
        ("U13740", "N7000", evening),
        ("U91836", "N6072", midnight),
    ]
    assert [event[1] for event in events(data) if event[0] == "U13740"] == [
        "N55689",
        "N4642",
        "N7000",
    ]
    assert items(data)["N4642"] == {
        "title": '"50 Worst" Habits: An unclosed "quote',
        "abstract": "Café life",
        "categories": ["news", "newsworld"],
    }


def test_mind_train_alone(folder: Path) -> None:
    write_mind(folder, None)
    assert prepared("mind-small", folder).num_events == 3


def test_article_that_says_something_else_in_dev_is_rejected(folder: Path) -> None:
    train, dev = folder / "MINDsmall_train", folder / "MINDsmall_dev"
    write_mind(train, dev)
    (dev / "news.tsv").write_text(
        article("N7000", "New") + article("N6072", "n6072") + article("N4642", "Other"), "utf-8"
    )
    layout = named.layout("mind-small", folder, folder, print)
    config = DataConfig(data="mind-small", max_bad_rows=0.5)
    data = prepare(layout, config, folder.parent / "out", lambda line: None)
    rejected = (data.folder / "rejected.csv").read_text("utf-8").splitlines()[1:]
    assert rejected == [
        f'{dev / "news.tsv"},3,item_id,N4642,"item_id occurs twice, with other content"'
    ]
    assert items(data)["N4642"]["abstract"] == "Café life"


def test_mind_tokens_without_a_label_are_rejected_with_their_line(folder: Path) -> None:
    write_mind(folder, None)
    (folder / "behaviors.tsv").write_text(
        BEHAVIORS_TRAIN + "3\tU1\t11/12/2019 1:00:00 AM\t\tN6072\n", "utf-8"
    )
    layout = named.layout("mind-small", folder, folder, print)
    config = DataConfig(data="mind-small", max_bad_rows=0.5)
    data = prepare(layout, config, folder.parent / "out", lambda line: None)
    assert data.num_events == 3
    assert data.meta.rejected_rows == 1
    assert "behaviors.tsv,3," in (data.folder / "rejected.csv").read_text("utf-8")


STEAM_REVIEWS = [
    r"{u'username': u'Ana\xe9', u'hours': 12.5, u'products': 3, u'product_id': u'10', "
    r"u'page_order': 0, u'date': u'2017-12-17', "
    r"""u'text': u"it's {u'username': u'evil', u'product_id': u'9'}\n", u'early_access': False}""",
    r"""{u'compensation': u'Product received for free', u'username': u"O'Neil", """
    r"u'hours': 3, u'product_id': u'20', u'date': u'2016-01-02', u'text': u'', u'found_funny': 2}",
    r"{u'username': u'\u732b', u'user_id': u'7656', u'hours': 0.1, u'product_id': u'10', "
    r"u'date': u'2016-01-03', u'text': u'a \'b\' \"c\" \\'}",
]
STEAM_GAMES = [
    r"""{u'publisher': u'K', u'genres': [u'Action', u"Free to Play"], """
    r"u'app_name': u'Lost\u2122', u'title': u'Lost', "
    r"u'tags': [u'Strategy', u'Indie'], u'price': 4.99, u'id': u'10', "
    r"u'developer': u'K & Co'}",
    r"{u'app_name': u'No genre', u'id': u'20', u'price': u'Free To Play', u'early_access': True}",
]


def write_steam(folder: Path, reviews: list[str]) -> None:
    for name, lines in (("steam_reviews", reviews), ("steam_games", STEAM_GAMES)):
        with gzip.open(folder / f"{name}.json.gz", "wt", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")


def test_steam(folder: Path) -> None:
    write_steam(folder, STEAM_REVIEWS)
    data = prepared("steam", folder)
    assert sorted(events(data)) == [
        ("Anaé", "10", 1513468800),
        ("O'Neil", "20", 1451692800),
        ("猫", "10", 1451779200),
    ]
    assert data.meta.time_unit == "ISO 8601"
    assert items(data) == {
        "10": {
            "title": "Lost™",
            "tags": "Strategy, Indie",
            "developer": "K & Co",
            "categories": ["Action", "Free to Play"],
        },
        "20": {"title": "No genre", "tags": "", "developer": "", "categories": []},
    }


def test_steam_lines_that_cannot_be_used_are_rejected(folder: Path) -> None:
    no_hours = STEAM_REVIEWS[1].replace("u'hours': 3, ", "")
    half_written = STEAM_REVIEWS[1][:-5]
    write_steam(folder, [*STEAM_REVIEWS, no_hours, half_written])
    layout = named.layout("steam", folder, folder, print)
    config = DataConfig(data="steam", max_bad_rows=0.5)
    data = prepare(layout, config, folder.parent / "out", lambda line: None)
    assert data.num_events == 3
    rejected = (data.folder / "rejected.csv").read_text("utf-8").splitlines()[1:]
    assert len(rejected) == 2
    assert "steam_reviews.json.gz,4,strength,,missing strength" in rejected[0]
    assert "steam_reviews.json.gz,5,user_id,,missing user" in rejected[1]


def test_steam_fields_agree_with_python() -> None:
    import ast

    import pyarrow

    records = [ast.literal_eval(line) for line in STEAM_REVIEWS]
    table = steam._reviews(pyarrow.table({LINE: [1, 2, 3], "record": STEAM_REVIEWS}))
    assert table["user_id"].to_pylist() == [record["username"] for record in records]
    assert table["item_id"].to_pylist() == [record["product_id"] for record in records]
    hours = [None if hours is None else float(hours) for hours in table["strength"].to_pylist()]
    assert hours == [record.get("hours") for record in records]


def test_unknown_name_gives_the_nearest_and_the_whole_list(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'movielens-1M'; did you mean movielens-1m") as error:
        named.layout("movielens-1M", None, tmp_path, print)
    for name in (*named.SETS, "amazon-reviews-2023/<category>"):
        assert name in str(error.value)


def test_unknown_category(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no category 'Video_Game'; did you mean Video_Games"):
        named.layout("amazon-reviews-2023/Video_Game", None, tmp_path, print)
    with pytest.raises(UserError, match=r"no category ''.*All_Beauty"):
        named.layout("amazon-reviews-2023", None, tmp_path, print)
    assert len(set(amazon.CATEGORIES)) == 34


def test_is_name() -> None:
    assert named.is_name("steam")
    assert named.is_name("amazon-reviews-2023/Books")
    assert not named.is_name("log.csv")


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("movielens-100k", "u.data"),
        ("movielens-1m", "ratings.dat"),
        ("movielens-32m", "ratings.csv"),
        ("goodbooks-10k", "ratings.csv"),
        ("mind-small", "behaviors.tsv"),
        ("steam", "steam_reviews.json"),
        ("amazon-reviews-2023/Books", "Books.jsonl"),
    ],
)
def test_missing_files_are_named(folder: Path, name: str, missing: str) -> None:
    (folder / "readme.txt").write_text("nothing here")
    with pytest.raises(UserError, match=f"lacks {missing}"):
        named.layout(name, folder, folder, print)
    with pytest.raises(UserError, match="does not exist"):
        named.layout(name, folder / "nowhere", folder, print)


def test_an_archive_in_place_of_a_folder(folder: Path) -> None:
    (folder / "ml-1m.zip").write_bytes(b"PK")
    with pytest.raises(UserError, match="is a file: unpack it"):
        named.layout("movielens-1m", folder / "ml-1m.zip", folder, print)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Path, str, list[str]]]:
    """A folder, the address under which it is served, and the paths asked for so far."""
    root, asked = tmp_path / "site", []
    root.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            asked.append(self.path)

    handler = partial(Handler, directory=str(root))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield root, f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


def served(found: NamedSet, base: str) -> Callable[[], NamedSet]:
    """The same set with its files on the local server, whose sums nobody pinned."""
    remotes = [Remote(f"{base}/{remote.name}") for remote in found.remotes]
    return lambda: NamedSet(remotes, found.licence, found.layout)


def test_download_unpack_prepare_and_not_again(
    site: tuple[Path, str, list[str]],
    tmp_path: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root, base, asked = site
    write_1m(folder)
    with zipfile.ZipFile(root / "ml-1m.zip", "w") as archive:
        for path in folder.iterdir():
            archive.write(path, f"ml-1m/{path.name}")
    monkeypatch.setitem(named.SETS, "movielens-1m", served(movielens.ml_1m(), base))
    lines: list[str] = []
    for _ in range(2):
        layout = named.layout("movielens-1m", None, tmp_path / "cache", lines.append)
    assert asked == ["/ml-1m.zip"]
    assert layout.source == "movielens-1m"
    assert layout.licence
    assert "GroupLens" in layout.licence
    out = tmp_path / "prepared"
    data = prepare(layout, DataConfig(data="movielens-1m"), out, lambda line: None)
    assert data.num_events == 3
    # The archive may go once it is unpacked.
    (tmp_path / "cache" / "downloads" / "movielens-1m" / "ml-1m.zip").unlink()
    named.layout("movielens-1m", None, tmp_path / "cache", lines.append)
    assert len(asked) == 1


def test_set_of_two_archives_and_of_two_files(
    site: tuple[Path, str, list[str]],
    tmp_path: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root, base, _ = site
    write_mind(folder / "MINDsmall_train", folder / "MINDsmall_dev")
    for part in ("MINDsmall_train", "MINDsmall_dev"):
        with zipfile.ZipFile(root / f"{part}.zip", "w") as archive:
            for path in (folder / part).iterdir():
                # Older copies of the archives have no top folder, newer ones have one.
                archive.write(path, path.name if part.endswith("dev") else f"{part}/{path.name}")
    monkeypatch.setitem(named.SETS, "mind-small", served(mind.small(), base))
    layout = named.layout("mind-small", None, tmp_path / "cache", lambda line: None)
    assert [path.parent.name for path in layout.events.paths] == [
        "MINDsmall_train",
        "MINDsmall_dev",
    ]
    write_steam(root, STEAM_REVIEWS)
    monkeypatch.setitem(named.SETS, "steam", served(steam.steam(), base))
    layout = named.layout("steam", None, tmp_path / "cache", lambda line: None)
    data = prepare(layout, DataConfig(data="steam"), tmp_path / "out", lambda line: None)
    assert data.num_events == 3


@pytest.mark.parametrize("name", [*named.SETS, "amazon-reviews-2023/Gift_Cards"])
def test_every_set_says_where_it_comes_from(name: str) -> None:
    found = named._named_set(name)
    assert found.licence
    assert found.remotes
    for remote in found.remotes:
        assert remote.url.startswith("https://")
        assert remote.name.endswith((".zip", ".gz"))
        if remote.checksum is not None:
            kind, _, digits = remote.checksum.partition(":")
            assert len(digits) == {"md5": 32, "sha256": 64}[kind]
            assert int(digits, 16)
