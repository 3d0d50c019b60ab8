"""What this machine has, and who may use it when."""
