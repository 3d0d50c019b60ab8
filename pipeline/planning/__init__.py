"""What is known and to be done before anything is built."""
