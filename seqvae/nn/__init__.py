"""Network blocks with no knowledge of VAEs."""
