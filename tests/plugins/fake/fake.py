"""A job that counts to `steps`, saves its count when it is stopped, and goes on from there."""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import time
from pathlib import Path

from windtunnel import config
from windtunnel.interfaces import Curve, Evaluation, Job, Record

EMPTY = Curve()
PAUSE = 0.02


def prepare(cfg):
    """Refuses the seed that the config or the file `refuse` names."""
    file = Path("refuse")
    if cfg.seed in (cfg.refuse, int(file.read_text()) if file.exists() else None):
        raise ValueError(f"refuse: expected another seed, got {cfg.seed}; change it")


def run(cfg, folder):
    prepare(cfg)
    (folder / "config.json").write_text(json.dumps(config.plain(cfg)))
    saved = folder / "count.json"
    count = json.loads(saved.read_text()) if saved.exists() else 0
    sys.stdout.write(f"from {count}, threads {os.environ.get('OMP_NUM_THREADS')}\n")
    (folder / "starts").open("a").write(f"{count} {os.getpid()}\n")
    if cfg.late == cfg.seed:
        raise ValueError(f"late: expected another seed, got {cfg.seed}; change it")
    if cfg.fail == cfg.seed:
        raise RuntimeError(f"seed {cfg.seed} fails")
    n_starts = len((folder / "starts").read_text().splitlines())
    if cfg.die == cfg.seed and not (cfg.die_once and n_starts > 1):
        os.kill(os.getpid(), signal.SIGKILL)

    def stop(*_):
        saved.write_text(json.dumps(count))
        sys.exit(3)

    signal.signal(signal.SIGTERM, stop)
    while count < cfg.steps:
        count += 1
        write(folder / "progress.json", {"tokens": count, "total_tokens": cfg.steps})
        if count % 5 == 0:
            write(saved, count)
        time.sleep(PAUSE)
    loss = None if cfg.diverge == cfg.seed else float(cfg.optim.lr + cfg.seed)
    record(cfg, folder, loss).save(folder)
    return math.nan if loss is None else loss


def write(path, value):
    part = path.with_suffix(".part")
    part.write_text(json.dumps(value))
    part.replace(path)


def record(cfg, folder, loss):
    return Record(
        job=config.job_digest(cfg),
        name=folder.name,
        task="train",
        role=cfg.role,
        outcome="diverged" if loss is None else "finished",
        outcome_step=cfg.steps,
        outcome_reason="",
        seed=cfg.seed,
        config=config.plain(cfg),
        parameters={},
        train_flops={},
        tokens=cfg.steps,
        steps=cfg.steps,
        evaluation=None if loss is None else Evaluation(loss, loss, 1),
        train_curve=EMPTY,
        eval_curve=EMPTY,
        grad_norm_curve=EMPTY,
        seconds=0.0,
        tokens_per_second=0.0,
        mfu=None,
        peak_memory_bytes=0,
        choices={},
        data={},
        table=[],
        measurements={},
        inputs=[],
        versions={},
        git={},
        warnings=[],
    )


class TwoStages:
    """Some seeds; then, when all are there, one job with their number."""

    def __init__(self, *, seeds):
        if seeds < 1:
            raise ValueError(f"study.seeds: expected at least 1, got {seeds}; raise it")
        self.seeds = seeds

    def first(self):
        return [
            Job(f"s{s}", "rung", {"seed": s, "note": "it's, a note"}, cost=1.0)
            for s in range(1, self.seeds + 1)
        ]

    def last(self):
        return [Job("target", "target", {"seed": self.seeds + 1, "note": None}, cost=2.0)]

    def plan(self):
        return [*self.first(), *self.last()]

    def propose(self, records, folder):
        left = [job for job in self.first() if job.name not in records]
        return left or [job for job in self.last() if job.name not in records]

    def conclude(self, records, folder):
        losses = {name: r.evaluation and r.evaluation.loss_nats for name, r in records.items()}
        return {"losses": losses}
