"""What every stage needs: settings, paths, unfinished work, processes. Nothing here decides a result."""
