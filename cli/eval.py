"""`aam eval`: how often matching is right, and how far its confidence can be believed, on labelled mappings."""

from pathlib import Path
from typing import Annotated

import typer

from cli.console import say, write_json, write_line, write_table
from cli.known_seeds import reference_rows, seed_rows
from cli.made_labels import made_rows
from inference.evaluate_matcher import Judged, Judgement, corrected_locally, judge, judge_refitted
from inference.label_rows import LabelRow, read_labels, uses_our_model
from inference.local_embedder import LocalEmbedder
from inference.match_figures import BANDS, FIGURES, Figure, as_json, figures, reliability
from mapping.candidates import KnownMapping
from mapping.score_model import load_model
from schemas.failures import Misconfigured

app = typer.Typer()


@app.command()
def evaluate(
    labels: Annotated[
        Path | None, typer.Option("--labels", metavar="FILE", help="CSV or CSV.gz; default: the shipped seed mappings.")
    ] = None,
    refit: Annotated[
        bool, typer.Option("--refit", help="Fit inside folds of vendors, for labels that the shipped model knows.")
    ] = False,
    unseen: Annotated[
        bool, typer.Option("--unseen", help="With --refit: leave out a whole origin, its vocabulary unseen.")
    ] = False,
    local: Annotated[
        bool,
        typer.Option("--local", help="With --labels: corrected by the other vendors' outcomes, as by people's."),
    ] = False,
    as_json_: Annotated[bool, typer.Option("--json", help="JSON, one object.")] = False,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help="Reliability and precision–recall, PNG or SVG.")
    ] = None,
) -> None:
    """Judge matching on labels, leaving each vendor's own mappings out of what is known.

    Columns of FILE: vendor, vendor_entity, source_field, source_type, canonical_entity, canonical_field (empty: none),
    origin, multi, same_name, direction. Intervals are 95 %, by drawing vendors anew.
    """
    if unseen and not refit:
        raise typer.BadParameter("only with --refit", param_hint="--unseen")
    if local and not labels:
        raise typer.BadParameter("only with --labels: nobody here has decided the seeds", param_hint="--local")
    rows = read_labels(labels) if labels else seed_rows()
    judgement = _judge(rows, refit=refit, unseen=unseen)
    judged = corrected_locally(judgement.fields) if local else judgement.fields
    if not len(judged.mapped):
        raise Misconfigured("the labels ask for no field: none has direction `in` and `multi` 0")
    if plot:
        from inference.plot_figures import write_plot  # noqa: PLC0415  # matplotlib is slow, and of the extra `train`

        write_plot(judged, plot)
    parts, entities = _by_origin(judged), _by_origin(judgement.entities)
    if as_json_:
        origins, overall = {origin: _both(part) for origin, part in parts.items()}, _both(judged)
        told = {name: _both(part) for name, part in {**entities, "overall": judgement.entities}.items()}
        write_json({"origins": origins, "overall": overall, "entities": told})
        return
    for origin, part in ({**parts, "overall": judged} if len(parts) > 1 else parts).items():
        _print(origin, part, "fields")
        if origin in entities or origin == "overall":
            _print(f"{origin}, which entity", entities.get(origin, judgement.entities), "entities, asked for twice")


def _by_origin(judged: Judged) -> dict[str, Judged]:
    return {str(origin): judged.only(judged.origins == origin) for origin in dict.fromkeys(judged.origins)}


def _judge(rows: list[LabelRow], *, refit: bool, unseen: bool) -> Judgement:
    ours = {origin for origin in {row.origin for row in rows} if uses_our_model(r for r in rows if r.origin == origin)}

    def seeds(origin: str) -> list[KnownMapping]:
        return [row.known for row in [*seed_rows(), *reference_rows()]] if origin in ours else []

    embedder = LocalEmbedder()
    if not refit:
        return judge(rows, load_model(), embedder, seeds)
    return judge_refitted(
        rows, embedder, seeds, by_origin=unseen, reference=reference_rows(), simulated=made_rows(), progress=say
    )


def _both(judged: Judged) -> dict[str, object]:
    return {"all": as_json(judged), "renamed": as_json(judged.only(judged.renamed))}


def _print(name: str, judged: Judged, what: str) -> None:
    renamed = judged.only(judged.renamed)
    write_line(f"{name}: {len(judged.mapped)} {what}, {int(judged.mapped.sum())} of them mapped")
    every, some = figures(judged), figures(renamed)
    write_table(
        ("figure", "all", "95 %", "renamed", "95 %"),
        [(_title(key), *_cells(every[key]), *_cells(some[key])) for key in FIGURES],
    )
    write_table(
        ("confidence", "count", "said", "right"),
        [(f"{b.low:.1f}–{b.high:.1f}", b.count, f"{b.said:.3f}", f"{b.right:.3f}") for b in reliability(judged)],
    )


def _title(key: str) -> str:
    titles = {"accuracy_at_1": "accuracy@1", "mrr": "MRR", "ece": "ECE", "rag_hit_rate": "RAG hit rate"}
    titles |= {"hit_precision": "precision of the hits", "unseen_hit_rate": "hits that nobody needs to see"}
    titles["nothing_precision"] = 'precision of a confident "nothing"'
    titles |= {f"{figure}_{band}": f"{figure} at {band:.2f}" for band in BANDS for figure in ("precision", "recall")}
    titles |= {f"coverage_{band}": f"coverage at {band:.2f}" for band in BANDS}
    return titles[key]


def _cells(figure: Figure) -> tuple[str, str]:
    if figure.value is None:
        return "–", ""
    return f"{figure.value:.3f}", f"{figure.low:.3f}–{figure.high:.3f}"
