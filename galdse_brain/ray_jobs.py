"""Many files on many machines: a pool of models, fed by Ray Data.

Authors
 * The galdse developers
"""

from pathlib import Path

import ray

from galdse_brain.jobs import Outcome, run_jobs
from galdse_brain.memory import keep_freed_memory

RETRIES = 3


class Worker:
    """A model of the pool, in a process of its own.

    Arguments
    ---------
    load : callable
        () -> GALDSEEnhancement.
    how : dict
        ``overwrite`` and the options of ``run_jobs``.
    """

    def __init__(self, load, how):
        keep_freed_memory()
        self.model, self.how = load(), how

    def __call__(self, row):
        """Enhance one file; a row of the table of results."""
        job = Path(row["source"]), Path(row["target"])
        [outcome] = run_jobs(self.model, [job], progress=False, **self.how)
        return {**outcome._asdict(), **row}


def run_with_ray(
    load, jobs, num_workers=None, num_gpus=0, overwrite=False, **options
):
    """Enhance files with a pool of models.

    A worker that is killed starts again and repeats what it had in hand. A
    file that kills every worker is a failure, and the others go on. Workers
    see the same paths as this process does, on this and on other machines.

    Arguments
    ---------
    load : callable
        () -> GALDSEEnhancement, called once by each worker.
    jobs : list of (pathlib.Path, pathlib.Path)
        Sources and targets, see ``jobs.planned``.
    num_workers : int, optional
        Models at work; by default one for each processor or GPU of the
        cluster, or for each file if these are fewer.
    num_gpus : int
        GPUs of each, 0 or 1.
    overwrite : bool
        Enhance again what is there already.
    **options
        For ``enhance_blocks``.

    Returns
    -------
    outcomes : list of Outcome
        One for each job, in their order.
    """
    rows = [
        {"source": str(source.absolute()), "target": str(target.absolute())}
        for source, target in jobs
    ]
    if not rows:
        return []
    how = dict(overwrite=overwrite, **options)
    size = num_workers or min(_places(num_gpus), len(rows))
    context = ray.data.DataContext.get_current()
    context.max_errored_blocks = -1  # One that fails does not stop the rest.
    table = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
        Worker,
        fn_constructor_args=(load, how),
        # One at a time: a file that kills must not take others with it.
        compute=ray.data.ActorPoolStrategy(
            size=size, max_tasks_in_flight_per_actor=1
        ),
        num_gpus=num_gpus,
        max_restarts=-1,
        max_task_retries=RETRIES,
    )
    made = {row["target"]: row for row in table.iter_rows()}
    lost = {"error": f"ended its worker {RETRIES + 1} times"}
    return [
        Outcome(*job, **_told(made.get(row["target"], lost)))
        for job, row in zip(jobs, rows)
    ]


def _places(num_gpus):
    """How many models the cluster has processors or GPUs for."""
    ray.init(ignore_reinit_error=True)
    kind = "GPU" if num_gpus else "CPU"
    return max(1, int(ray.cluster_resources().get(kind, 0)))


def _told(row):
    names = set(Outcome._fields) - {"source", "target"}
    return {name: row[name] for name in names & row.keys()}
