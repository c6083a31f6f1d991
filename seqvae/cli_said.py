"""An option of many commands: what is known of texts."""

import tyro

Said = tyro.conf.UseAppendAction[tuple[str, ...]]
"""Of a conditional run: its label, and NAME=VALUE for each attribute; the option is given once for each."""
