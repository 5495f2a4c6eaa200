"""Subword tokenizers: byte-level BPE trained on the corpus, or one that is given.

BPE starts from the 256 bytes and merges the most frequent pair of neighbours again and again.
Source: Sennrich, Haddow, Birch 2016, arXiv 1508.07909, section 3; on bytes and with this splitting
into words: Radford et al. 2019 (GPT-2), section 2.2; by the library `tokenizers`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from numpy import ndarray
from tokenizers import decoders, models, pre_tokenizers, trainers

from windtunnel.data.tokenizer import Sample, Tokenizer

EOT = "<|endoftext|>"
_ALPHABET = sorted(pre_tokenizers.ByteLevel.alphabet())


class SubwordTokenizer:
    """A tokenizer of the library `tokenizers`, and the token of it that separates documents."""

    def __init__(self, definition: str, eot: str) -> None:
        self._tokenizer = tokenizers.Tokenizer.from_str(definition)
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._tokenizer.encode_special_tokens = True
        self._eot_text = eot
        self.eot = self._tokenizer.token_to_id(eot)
        ids = self._tokenizer.get_vocab(with_added_tokens=True)
        self.vocab_size = max(ids.values()) + 1
        self.byte_lengths = _byte_lengths(self._tokenizer, self.vocab_size)

    def encode(self, texts: Sequence[str]) -> list[ndarray]:
        """Ids of each text, on all cores."""
        encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [np.array(encoding.ids, np.int32) for encoding in encodings]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of these ids; separators vanish."""
        return self._tokenizer.decode(list(ids), skip_special_tokens=True)

    def to_json(self) -> dict[str, Any]:
        """The definition as `tokenizers` writes it, and the separator."""
        return {
            "kind": "subwords",
            "eot": self._eot_text,
            "tokenizer": json.loads(self._tokenizer.to_str()),
        }


class BytePairs:
    """Chooses BPE trained on a sample of the corpus."""

    def __init__(self, *, vocab_size: int, sample_bytes: int) -> None:
        if vocab_size < len(_ALPHABET) + 1:
            raise ValueError(
                f"tokenizer.vocab_size: expected at least {len(_ALPHABET) + 1} (256 bytes and a "
                f"separator), got {vocab_size}; raise it, or use tokenizer=bytes"
            )
        self.vocab_size = vocab_size
        self.sample_bytes = sample_bytes

    def identity(self) -> dict[str, Any]:
        """Its settings and the library's version."""
        return {"kind": "bpe", "library": tokenizers.__version__, **vars(self)}

    def make(self, sample: Sample, cache: Path) -> Tokenizer:
        """Trains on the sample, unless the same sample was seen before."""
        texts = sample(self.sample_bytes)
        content = hashlib.sha256(json.dumps(self.identity()).encode())
        for text in texts:
            content.update(hashlib.sha256(text.encode()).digest())
        file = cache / f"{content.hexdigest()[:16]}.json"
        if not file.is_file():
            cache.mkdir(parents=True, exist_ok=True)
            part = file.with_suffix(".part")
            part.write_text(self._train(texts))
            part.replace(file)
        return SubwordTokenizer(file.read_text(), EOT)

    def _train(self, texts: list[str]) -> str:
        tokenizer = tokenizers.Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=self.vocab_size,
            special_tokens=[EOT],
            initial_alphabet=_ALPHABET,
            show_progress=False,
        )
        tokenizer.train_from_iterator(texts, trainer)
        n_tokens = tokenizer.get_vocab_size()
        if n_tokens != self.vocab_size:
            raise ValueError(
                f"tokenizer.vocab_size: the corpus has only enough different text for {n_tokens} "
                f"tokens, got {self.vocab_size}; set tokenizer.vocab_size={n_tokens} or less, or "
                "use tokenizer=bytes"
            )
        return tokenizer.to_str()


class Pretrained:
    """Chooses a `tokenizer.json`, or one on the Hugging Face hub by name."""

    def __init__(self, *, path: str, vocab_size: int | None, eot: str) -> None:
        self.path = path
        self.vocab_size = vocab_size
        self.eot = eot

    def identity(self) -> dict[str, Any]:
        """Its settings, and size and time of a file."""
        file = Path(self.path)
        changed = [file.stat().st_size, file.stat().st_mtime_ns] if file.is_file() else None
        return {"kind": "pretrained", "changed": changed, **vars(self)}

    def make(self, sample: Sample, cache: Path) -> Tokenizer:
        """Reads it and checks it against the settings."""
        definition = self._read()
        if definition.token_to_id(self.eot) is None:
            special = [t.content for t in definition.get_added_tokens_decoder().values()]
            raise ValueError(
                f"tokenizer.eot: {self.path} has no token {self.eot!r} to put between documents; "
                f"set it to one that it has, such as {special[:8]}"
            )
        tokenizer = SubwordTokenizer(definition.to_str(), self.eot)
        if self.vocab_size not in (None, tokenizer.vocab_size):
            raise ValueError(
                f"tokenizer.vocab_size: {self.path} has {tokenizer.vocab_size} tokens, got "
                f"{self.vocab_size}; set tokenizer.vocab_size={tokenizer.vocab_size}, or null"
            )
        return tokenizer

    def _read(self) -> tokenizers.Tokenizer:
        file = Path(self.path)
        try:
            if file.is_file():
                return tokenizers.Tokenizer.from_file(str(file))
            return tokenizers.Tokenizer.from_pretrained(self.path)
        except Exception as error:  # the library raises plain Exception
            raise ValueError(
                "tokenizer.path: expected a tokenizer.json file or a name on the Hugging Face hub, "
                f"got {self.path!r}, which cannot be read ({error}); check the path or the network"
            ) from error


def _byte_lengths(tokenizer: tokenizers.Tokenizer, vocab_size: int) -> ndarray | None:
    """Byte-level vocabularies write every byte as one character of a fixed alphabet."""
    definition = json.loads(tokenizer.to_str())
    if definition["normalizer"] or "ByteLevel" not in json.dumps(definition["decoder"]):
        return None
    lengths = np.zeros(vocab_size, np.int64)
    for text, i in tokenizer.get_vocab(with_added_tokens=False).items():
        lengths[i] = len(text)
    for i, token in tokenizer.get_added_tokens_decoder().items():
        lengths[i] = 0 if token.special else len(token.content.encode())
    return lengths
