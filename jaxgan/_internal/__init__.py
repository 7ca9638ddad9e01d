"""What jaxgan's modules share and users do not import."""
