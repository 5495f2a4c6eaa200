"""One whole training step of the default model with a vocabulary that a common tokenizer has.

Run it under a limit on memory to see which loss fits:

    prlimit --data=6442450944 python bench/largest_step.py --loss cut_cross_entropy
    prlimit --data=6442450944 python bench/largest_step.py --loss cross_entropy
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent


def step(loss: str, vocab: int, width: int, tokens: int) -> dict[str, float]:
    """Forward and backward pass and update, in float32; its loss, seconds and peak memory."""
    import torch

    from windtunnel.build import build_model, make
    from windtunnel.config import compose
    from windtunnel.interfaces import Batch

    cfg = compose(
        overrides=[f"loss={loss}", f"model.width={width}", f"batch.length={tokens // 16}"]
    )
    model, _ = build_model(cfg, vocab)
    score = make(cfg.loss)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    drawn = torch.randint(vocab, (16, cfg.batch.length + 1))
    begin = time.perf_counter()
    batch = Batch(drawn[:, :-1], drawn[:, 1:], None, drawn[:, 0])
    output = score(model(batch.tokens_BT, None), model.head, batch)
    output.loss.backward()
    optimiser.step()
    return {
        "loss": output.loss.item(),
        "seconds": time.perf_counter() - begin,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    """Does the step and prints what it took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--loss", default="cut_cross_entropy")
    parser.add_argument("--vocab", type=int, default=256000)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--tokens", type=int, default=4096)
    print(json.dumps(step(**vars(parser.parse_args()))))


if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent / "src"))
    main()
