"""A stand-in for train.py whose jobs count instead of training."""

from __future__ import annotations

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[2])]

import fake  # noqa: E402
import hydra  # noqa: E402
from hydra.core.hydra_config import HydraConfig  # noqa: E402

from train import reported  # noqa: E402
from windtunnel import config, folder  # noqa: E402

os.environ["FAKE"] = str(HERE)
config.register_recipes(HERE / "recipes")
config.register_resolvers(HERE / "conf", HERE / "recipes")


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(cfg):
    home = Path(HydraConfig.get().runtime.output_dir)
    with folder.claimed(home, config.plain(cfg), config.job_digest) as record:
        return fake.run(cfg, home) if record is None else folder.finished_loss(record)


if __name__ == "__main__":
    os.environ["HYDRA_FULL_ERROR"] = "1"
    with reported(sys.argv[1:], HERE / "conf"):
        main()
