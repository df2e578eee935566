"""One page per command: a config in, a report out; knows no flags and prints nothing."""
