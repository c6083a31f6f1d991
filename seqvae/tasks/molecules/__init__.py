"""What a text model trained on molecules is used for."""
