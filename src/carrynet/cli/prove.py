"""`carrynet prove`."""

import sys
from dataclasses import asdict
from pathlib import Path

import click

from carrynet.cli import options
from carrynet.cli.output import RIGHT, UNDECIDED, WRONG, tell


@click.command()
@options.run
@options.budget(10.0)
@click.option(
    "--digits",
    type=int,
    help="Where undecided, show at least that all numbers of up to so many digits are right.",
)
@options.as_json
def prove(run: Path | None, budget: float, digits: int | None, as_json: bool) -> None:
    """Decide whether a run is right for numbers of any length.

    Of a run that is refuted it tells how often it is wrong, by sampling; of one that is undecided,
    what would decide it.

    Exit code 0 if that is proved (or, with --digits, the bounded claim is), 1 if it is
    refuted, 3 if neither could be done.
    """
    from carrynet import lab
    from carrynet.cli.runs import load, write_page
    from carrynet.judge import evaluation
    from carrynet.learn.bar import Bar
    from carrynet.proof import verdict
    from carrynet.report import advice, text

    loaded = load(run)
    if digits is not None:
        evaluation.count_problems(loaded.network.task, digits)  # too many are refused at once
    proved = lab.decide(loaded, budget=budget)
    write_page(proved)
    network, found, bounded = proved.network, proved.proof, None
    code = {"proved": RIGHT, "refuted": WRONG, "undecided": UNDECIDED}[found.verdict]
    if digits is not None and code == UNDECIDED:
        with Bar() as bar:
            bounded = evaluation.evaluate(network, digits, watch=bar.watch)
        code = RIGHT if bounded.right == bounded.pairs else WRONG
        if bounded.wrong is not None:
            word = network.task.encode(bounded.wrong, digits)
            proved = lab.decide(proved, budget=0, suspect=word)
            found = proved.proof
            write_page(proved)
    known = bounded.digits if bounded is not None else 0
    if as_json:
        ways = [{**asdict(way), "text": way.text} for way in advice.ways(proved, known)]
        document = {"run": str(proved.path), "proof": verdict.to_json(found), "ways": ways}
        tell(document if digits is None else {**document, "bounded": bounded and vars(bounded)})
    else:
        lines = [text.verdict(proved, known)]
        if bounded is not None:
            lines.append(text.bounded(bounded, network.task))
        tell("\n".join(lines))
    sys.exit(code)
