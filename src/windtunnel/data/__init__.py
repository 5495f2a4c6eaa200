"""From text to batches of token ids: sources, tokenizers, the packed store, the datamodule."""
