"""The search for each strategy's best hyperparameters: a study and an early stopping of its own for every arm."""
