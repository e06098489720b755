"""The programs of ``flows.pipelines``: plain scripts that know nothing of Ebb or Prefect.

Belongs here: what is run by its path as a job of its own; standard library, a framework if there is
one. They are installed with the package, so that a deployment finds them wherever it runs.
Does not belong here: anything else but what lays them out (``beside``).
"""

from pathlib import Path

FOLDER = Path(__file__).parent
"""Where the scripts are."""
