"""What a run tells its reader: the report, and the forms that it is shown in."""
