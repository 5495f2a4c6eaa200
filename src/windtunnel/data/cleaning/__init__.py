"""What is done to text between its source and the tokenizer: normalised, filtered, counted."""
