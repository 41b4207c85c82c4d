"""What a user trains for: each task joins a model, data and a loss with the train loop."""
