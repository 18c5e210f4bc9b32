"""From phases in a space group to atoms, their elements, and how far the model can be believed."""
