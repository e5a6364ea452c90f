"""Items that nobody has taken yet: what do ids, genres, texts and neighbours make of them?

    python benchmarks/cold_items.py /folder/ml-1m --abstracts /abstracts.json \\
        --encoder /folder/all-MiniLM-L6-v2                              (hours)
    python benchmarks/cold_items.py /folder/ml-100k --encoder … --quick       (minutes)
    python benchmarks/cold_items.py /folder/amazon-beauty --encoder … --quick
    python benchmarks/cold_items.py synthetic --encoder … --quick
    … --encoders      also with the encoder pre-trained on the catalogue, and with LoRA (slow)

The split cold-items holds 10 % of the items out of training and of every history, and another 10 %
for validation. A test case is a user's last event on such an item; the whole catalogue is ranked,
seen items removed. Every user's newest event on the other (warm) items is held out as well. Each
place that a cold item takes is lost to the warm ones, so both are also ranked among their kind
alone: that does not depend on how high cold items stand, only on how well they are told apart.
Ledgers are chosen by the warm events before those, and see no cold item; the neighbours are tuned
on the validation items. Descriptions are texts and, of MovieLens and the synthetic world,
categories. --encoders: the encoder goes on learning on item-pairs of the training events
(tfrec.pretrain) and is frozen from then on; or LoRA within the training of the ledger.

Bars: the ledger with descriptions is above every neighbour at cold items, and among warm ones no
worse than the ledger of ids alone, by their 95 % intervals over items. Finished runs in --out are
not trained again.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from cold_cases import (
    Asked,
    Measured,
    cold_items,
    cold_validation,
    hold_out,
    mean_over_items,
    measure,
)
from cold_logs import write_log
from results import write_section
from run_folders import trained

from tfrec.config import resolve
from tfrec.console import say
from tfrec.data.splits import load_split
from tfrec.errors import command
from tfrec.evaluation.baselines.run import run_baselines
from tfrec.evaluation.model_ranking import ModelRanker
from tfrec.evaluation.results import Interval, Results
from tfrec.evaluation.run_evaluation import RESULTS, text_views
from tfrec.pretrain import ENCODER_FOLDER, pretrain
from tfrec.run import CONFIG, PretrainConfig, RunConfig, command_line, load_data
from tfrec.trained import load_trained

IDS_ALONE, FULL = "ledger, ids alone", "ledger, ids and descriptions"
PRETRAINED, LORA = f"{FULL}, encoder pre-trained", f"{FULL}, encoder with LoRA"
# What is trained reads the first tokens of a text.
SHORT = {"text.text_max_length": 64}
NEIGHBOURS = ("text-knn", "encoder-knn")


@command
def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("log", help="folder ml-1m, ml-100k or amazon-beauty, or synthetic")
    parser.add_argument("--abstracts", type=Path, help="JSON: MovieLens-1M id -> text")
    parser.add_argument("--encoder", required=True, help="as --text-encoder of tfrec.train")
    parser.add_argument("--encoders", action="store_true", help="pre-trained and tuned ones too")
    parser.add_argument("--quick", action="store_true", help="fewer epochs, smaller model")
    parser.add_argument("--out", type=Path, default=Path("runs/cold-items"), help="run folders")
    flags = parser.parse_args(argv)

    flags.out.mkdir(parents=True, exist_ok=True)
    log, described = write_log(flags.log, flags.abstracts, flags.out)
    described |= {"text.text_encoder": flags.encoder}
    # The same items in the same order, and so the same split.
    variants: dict[str, dict[str, Any]] = {IDS_ALONE: log, FULL: log | described}
    if flags.encoders:
        own = {"text.text_encoder": str(flags.out / "encoder" / "encoder")}
        variants |= {
            PRETRAINED: variants[FULL] | own,
            LORA: variants[FULL] | {"tuning.text_tuning": "lora"} | SHORT,
        }
    for name, options in variants.items():
        if name == PRETRAINED:
            pretrain_encoder(variants[FULL], flags)
        run(name, options, flags)
    page, met = report({name: flags.out / folder_name(name) for name in variants})
    write_section(
        f"Cold items: {Path(flags.log).name}{', quick' if flags.quick else ''}",
        f"`{command_line()}`\n\n" + "\n".join(page),
    )
    return 0 if met else 1


def folder_name(variant: str) -> str:
    return variant.replace(", ", "-").replace(" ", "-")


def run(name: str, options: dict[str, Any], flags: argparse.Namespace) -> None:
    folder = flags.out / folder_name(name)
    full = {
        "data.min_item_events": 5,
        "split.split": "cold-items",
        "model.id_dropout": 0.3,  # a description is all that a test item has
        "evaluation.baselines": ["none"],
        "training.epochs": 12 if flags.quick else 20,
    }
    if not flags.quick:
        full |= {"model.dim": 128, "model.heads": 2, "model.facet_dim": 32}
    config = resolve(RunConfig, argparse.Namespace(**full, **options), None)
    if not folder.exists():
        hold_out(folder, config)
    trained(config, folder)


def pretrain_encoder(options: dict[str, Any], flags: argparse.Namespace) -> None:
    """out/encoder, from the training events of the ledgers: no cold item, nothing held out."""
    folder = flags.out / "encoder"
    if (folder / ENCODER_FOLDER).exists():
        return
    ids = flags.out / folder_name(IDS_ALONE)
    data = load_data(ids, resolve(RunConfig, argparse.Namespace(), ids / CONFIG))
    train = load_split(ids, data).train()
    users = data.users["user_id"].take(np.repeat(train.users, train.lengths))
    items = data.items["item_id"].take(train.items())
    times = train.columns.timestamp[train.event_rows()]
    with (flags.out / "training.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["user_id", "item_id", "timestamp"])
        writer.writerows(zip(users.to_pylist(), items.to_pylist(), times.tolist(), strict=True))
    full = {
        "data.data": str(flags.out / "training.csv"),
        "data.items": options["data.items"],
        "data.text": options["data.text"],
        "pretraining.objective": "item-pairs",
        "pretraining.encoder": flags.encoder,
        "pretraining.epochs": 2 if flags.quick else 5,
    }
    config = resolve(PretrainConfig, argparse.Namespace(**full, **SHORT), None)
    pretrain(config, folder, resume=folder.exists())


def report(folders: dict[str, Path]) -> tuple[list[str], bool]:
    """The section, and whether both bars are met."""
    measured: dict[str, Measured] = {}
    for name, folder in folders.items():
        say(f"measuring {name}")
        config = resolve(RunConfig, argparse.Namespace(), folder / CONFIG)
        data, split, model, _ = load_trained(folder, config)
        measured[name] = measure(ModelRanker(model), split, data)
        if name == FULL:
            views = text_views(data, config.text, folder)
    results = Results.load(folder / RESULTS)
    cold = cold_items(split, data)
    neighbours = []
    for fitted in run_baselines(
        split.train(),
        cold_validation(data, split),
        data.num_items,
        NEIGHBOURS,
        texts=views,
        log=say,
    ):
        assert fitted.scorer is not None
        measured[fitted.name] = measure(fitted.scorer, split, data)
        neighbours.append(fitted.name)
    ours = measured[FULL]
    taken = cold[data.columns.item].mean()
    lines = [
        f"{results.protocol}; newest warm event of every user held out too; "
        f"{len(ours.cold.ndcg):,} cold and {len(ours.warm.ndcg):,} warm test cases, "
        f"{len(np.unique(ours.cold.target))} test items of {int(cold.sum())} cold ones, on which "
        f"{taken:.0%} of all events are; seed 0; intervals are over items",
        "",
        "| NDCG@10 | cold | cold alone | warm | warm alone | cold items shown |",
        "|---|---|---|---|---|---|",
    ]
    for label, found in measured.items():
        cells = [_with_interval(asked) for asked in found[:4]]
        lines.append(f"| {label} | {' | '.join(cells)} | {found.shown:.0%} |")
    lines.append("")
    met = True
    for other in (*neighbours, IDS_ALONE):
        gaps = _gaps(ours, measured[other])
        met &= gaps["warm alone"].high >= 0 if other == IDS_ALONE else gaps["cold"].low > 0
        lines.append(_line(FULL, other, gaps))
    for name in (name for name in (PRETRAINED, LORA) if name in measured):
        lines.append(_line(name, FULL, _gaps(measured[name], ours)))
    for line in lines:
        say(line)
    return lines, met


def _gaps(ours: Measured, theirs: Measured) -> dict[str, Interval]:
    return {
        what: mean_over_items(one.ndcg - another.ndcg, one.target)
        for what, one, another in zip(
            ("cold", "cold alone", "warm", "warm alone"), ours[:4], theirs[:4], strict=True
        )
    }


def _line(ours: str, theirs: str, gaps: dict[str, Interval]) -> str:
    cells = [
        f"{what} {gap.value:+.4f} ({gap.low:+.4f} to {gap.high:+.4f})" for what, gap in gaps.items()
    ]
    return f"- {ours}, less {theirs}: {'; '.join(cells)}."


def _with_interval(asked: Asked) -> str:
    mean = mean_over_items(*asked)
    return f"{mean.value:.4f} ± {(mean.high - mean.low) / 2:.4f}"


if __name__ == "__main__":
    raise SystemExit(main())
