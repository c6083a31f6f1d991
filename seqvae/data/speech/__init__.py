"""Speech: recordings to log-mel frames on disk, without torch."""
