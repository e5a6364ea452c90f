"""A trained run -> one SavedModel that takes strings and answers every question of the contract."""
