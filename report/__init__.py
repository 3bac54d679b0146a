"""The page that shows what a run reached: results/report.html, one file that loads nothing from anywhere."""
