"""Amazon Reviews 2023: ratings with times in milliseconds and rich item texts, one set a category.

Y. Hou, J. Li, Z. He, A. Yan, X. Chen and J. McAuley, Bridging Language and Items for Retrieval
and Recommendation, 2024. https://amazon-reviews-2023.github.io

The item is `parent_asin`: colours and sizes of one product share it, and the catalogue has one
row for it. Nothing is published to check the files against.
"""

from __future__ import annotations

import difflib
from pathlib import Path

from tfrec.data.download import Remote
from tfrec.data.layout import LogLayout, TableLayout
from tfrec.data.named.named_set import NamedSet, find, optional
from tfrec.errors import UserError

LICENCE = "Amazon Reviews 2023, McAuley Lab, UC San Diego: research use"
BASE = "https://mcauleylab.ucsd.edu/public_datasets/data/amazon_2023/raw"
CATEGORIES = [
    *("All_Beauty", "Amazon_Fashion", "Appliances", "Arts_Crafts_and_Sewing", "Automotive"),
    *("Baby_Products", "Beauty_and_Personal_Care", "Books", "CDs_and_Vinyl"),
    *("Cell_Phones_and_Accessories", "Clothing_Shoes_and_Jewelry", "Digital_Music"),
    *("Electronics", "Gift_Cards", "Grocery_and_Gourmet_Food", "Handmade_Products"),
    *("Health_and_Household", "Health_and_Personal_Care", "Home_and_Kitchen"),
    *("Industrial_and_Scientific", "Kindle_Store", "Magazine_Subscriptions", "Movies_and_TV"),
    *("Musical_Instruments", "Office_Products", "Patio_Lawn_and_Garden", "Pet_Supplies"),
    *("Software", "Sports_and_Outdoors", "Subscription_Boxes", "Tools_and_Home_Improvement"),
    *("Toys_and_Games", "Video_Games", "Unknown"),
]


def reviews_2023(category: str) -> NamedSet:
    """The reviews and the products of one category, e.g. "Video_Games"."""
    if category not in CATEGORIES:
        near = difflib.get_close_matches(category, CATEGORIES, n=3, cutoff=0.4)
        raise UserError(
            f"Amazon Reviews 2023 has no category {category!r}"
            + (f"; did you mean {' or '.join(near)}?" if near else ".")
            + f" Categories: {', '.join(CATEGORIES)}"
        )
    remotes = [
        Remote(f"{BASE}/review_categories/{category}.jsonl.gz"),
        Remote(f"{BASE}/meta_categories/meta_{category}.jsonl.gz"),
    ]
    return NamedSet(remotes, LICENCE, lambda folder: _layout(folder, category))


def _layout(folder: Path, category: str) -> LogLayout:
    (reviews,) = find(folder, f"{category}.jsonl")
    products = optional(reviews.parent, f"meta_{category}.jsonl")
    return LogLayout(
        source=f"amazon-reviews-2023/{category}",
        events=TableLayout(
            [reviews],
            format="jsonl",
            columns={"item_id": "parent_asin", "strength": "rating"},
        ),
        items=TableLayout([products], format="jsonl", columns={"item_id": "parent_asin"})
        if products
        else None,
        text_columns=["title", "features", "description"] if products else [],
        category_column="categories" if products else None,
    )
