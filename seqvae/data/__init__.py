"""Corpora: raw files to token shards, and batches of them. Never imports torch."""
