"""Judges of sound: words, speaker, quality, spectral distance, pitch, repair of noise.

They are models and libraries of others, used for measuring alone, and may live in an environment of their own:
`python -m seqvae.evaluation.referees JOB.json OUT.json` runs there with nothing of seqvae's own dependencies but
numpy and soundfile; `seqvae.evaluation.referees.client.judge` calls it from anywhere. Needs no torch at import.
"""
