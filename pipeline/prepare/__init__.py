"""What is made of a model before an engine: facts, data sets, calibration tables, and the precision in its graph."""
