"""`seqvae report`: one HTML page that says whether a run's latent carries information."""

from seqvae.evaluation.report.write import write_report

__all__ = ["write_report"]
