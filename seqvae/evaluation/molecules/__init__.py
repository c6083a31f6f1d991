"""Molecules judged: what rdkit says of one, and how a set of them compares with a reference set."""
