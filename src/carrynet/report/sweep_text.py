"""A sweep as text for a terminal."""

import shlex

from carrynet.runs.folder import program
from carrynet.sweep import Summary


def summary(found: Summary, page: str | None) -> str:
    """What a sweep has come to; `page` is where that can be seen."""
    plan, total = found.plan, found.total
    blocks = f"{found.blocks_done:,} of {plan.blocks:,} blocks"
    lines = [f"networks    {total.networks:,} of {plan.trials:,}, in {blocks}"]
    if found.networks:
        rate = found.networks / found.seconds
        now = f"{found.networks:,} of them now, in {found.seconds:.1f} s"
        lines.append(f"            {now}: {rate:,.1f} networks per second")
    about = {
        "diverged": "diverged    {} in training",
        "right": "right       {} on all problems of the exhaustive evaluation",
        "sampled": "            {} on all samples",
        "proved": "proved      {} right for problems of any length",
        "refuted": "refuted     {}",
        "refuted_beyond": "            {} though right on all of those problems",
        "undecided": "undecided   {}",
    }
    for outcome, line in about.items():
        rates = total.rate(outcome) if total.networks else None
        if rates is None or (outcome == "diverged" and not rates[0]):
            continue
        low, high = (f"{100 * end:.1f}" for end in rates[1:])
        share = f"{total.counts[outcome]:,}, {100 * rates[0]:.1f}% ({low}-{high})"
        lines.append(line.format(share))
    for number, failure in list(found.failures.items())[:5]:
        first, last = failure["cells"]
        lines.append(
            f"FAILED      block {number}, trials {first} to {last}: {failure['reasons'][-1]}"
        )
    if len(found.failures) > 5:
        lines.append(f"            and {len(found.failures) - 5:,} blocks more")
    lines += ["", f"sweep       {found.folder}"]
    if page is not None:
        lines.append(f"page        {page}")
    next_ = (
        f"{program()} table {shlex.quote(str(found.folder))}"
        if found.complete
        else "the same command tries again what has failed"
    )
    return "\n".join([*lines, f"next        {next_}"])
