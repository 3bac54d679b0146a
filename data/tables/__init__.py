"""The Parquet tables that stages exchange: whole with pandas, or row by row."""
