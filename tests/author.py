"""Whose commits a test's are: of nobody who uses this machine, which may not even know who that is."""

AUTHOR = {f"GIT_{who}_{what}": f"{what.lower()}@test" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
