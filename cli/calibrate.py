"""`aam calibrate`: fit the matching model anew, to labels or to what the registry's people have decided."""

from pathlib import Path
from typing import Annotated

import typer

from cli.console import write_json, write_line
from cli.known_seeds import known_rows, reference_rows
from cli.made_labels import made_rows
from cli.services import open_registry
from inference.fit_matcher import fit_matcher
from inference.label_rows import LabelRow, read_labels
from inference.local_embedder import LocalEmbedder
from mapping.score_model import write_model
from registry.known_mappings import known_mappings
from schemas.failures import Misconfigured

app = typer.Typer()

DECISIONS = "registry decisions"


@app.command()
def calibrate(
    labels: Annotated[
        list[Path] | None, typer.Option("--labels", metavar="FILE", help="CSV or CSV.gz; can be repeated.")
    ] = None,
    registry: Annotated[
        bool, typer.Option("--registry", help="Also learn from the mappings that people and seeds have settled.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Where the model goes; default: the shipped one's place."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON, one object.")] = False,
) -> None:
    """Fit the model that turns evidence into probabilities. The same rows give the same model.

    Without --labels it learns from the registry alone, which takes decisions about some dozen vendors. Needs the extra
    `train`.
    """
    rows = [row for path in labels or () for row in read_labels(path)]
    if registry or not labels:
        rows += _decisions()
    if not rows:
        raise Misconfigured("there is nothing to learn from: no row asks for one field")
    model = fit_matcher(rows, LocalEmbedder(), reference=reference_rows(), simulated=made_rows())
    if out:
        write_model(model, out)
    else:
        write_model(model)
    if as_json:
        write_json({"version": model.version, **model.card})
        return
    write_line(f"model {model.version}: {len(rows)} rows of {len({row.vendor for row in rows})} vendors")


def _decisions() -> list[LabelRow]:
    with open_registry() as pool:
        return known_rows(known_mappings(pool), DECISIONS)
