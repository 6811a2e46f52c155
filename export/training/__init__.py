"""`hearth train`: from the user's data to a recipe of the build pipeline. A module a task, named as its function."""
