"""What a reader sees: tables in the terminal and figures, drawn from `study.json` alone."""
