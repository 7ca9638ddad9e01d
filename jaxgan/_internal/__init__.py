"""Contains private helpers that jaxgan's modules share."""
