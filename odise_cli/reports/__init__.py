"""What a finished command has to say: counts, times and figures, for people and for programs."""
