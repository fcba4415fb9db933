"""`carrynet check`."""

from pathlib import Path

import click

from carrynet.cli import options
from carrynet.cli.output import leave, tell, wrapped


@click.command()
@options.run
@options.as_json
def check(run: Path | None, as_json: bool) -> None:
    """Check a run's certificate, from its weights and nothing else.

    Exit code 0 if it is valid, 1 if not.
    """
    from carrynet import lab
    from carrynet.proof.certificate import Rejected
    from carrynet.runs.folder import newest, read_certificate

    folder = run if run is not None else newest()
    certificate = read_certificate(folder)
    found = {"run": str(folder), "valid": True, "claim": certificate.claim}
    try:
        checked = lab.check(folder, certificate)
        found |= {"regions": checked.regions, "slack": checked.slack, "margin": checked.margin}
        told = wrapped("valid", certificate.claim)
    except Rejected as error:
        found |= {"valid": False, "reason": str(error)}
        told = wrapped("NOT VALID", str(error))
    tell(found if as_json else told)
    leave(bool(found["valid"]))
