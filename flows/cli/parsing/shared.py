"""Options and arguments that several commands take (decorators)."""

from __future__ import annotations

from functools import partial

import click

from ebbtide.flows.cli.parsing import names
from ebbtide.flows.cli.parsing.command import argument, option
from ebbtide.infra.platforms.base import known_platforms
from ebbtide.infra.request.options import OPTIONS

KUBERNETES = "Kubernetes"
"""The section of a help in which the options stand that say which Kubernetes is meant."""
run_argument = partial(argument, "run", metavar="RUN", shell_complete=names.one_of(names.runs))
"""The name of a run, which a shell completes."""
platform_option = partial(option, "--platform", type=click.Choice(known_platforms()))
"""``--platform`` of a command that looks at one."""
catalog_option = platform_option(
    help="whose pools and tiers, also those that an administrator has written down there"
    f" [{OPTIONS['platform'].variable}]",
)
"""``--platform`` of a command that shows a catalog."""
pool_option = option(
    "--pool",
    metavar="NAME",
    shell_complete=names.one_of(names.pools),
    help="only what is about this pool",
)
"""``--pool`` of a command that shows pools."""
watch_option = option("-w", "--watch", is_flag=True, help="print again whenever something changes")
