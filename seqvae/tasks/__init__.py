"""What a trained model does. A new task: one file here and one method of `TextModel`."""
