"""Lightning callbacks, one file each, and the loggers they write to."""
