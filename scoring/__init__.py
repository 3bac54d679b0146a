"""The trained pipeline as a tool: images and prompts in, scores with a reason out.

    from scoring.scorer import Scorer

    scorer = Scorer.load("bundle")  # a folder that `python -m stages.bundle` packed, or hf://owner/name@revision
    for score in scorer(["cat.png"], ["a red cat on a sofa"], aspect="quality"):
        print(score.score, score.interval, score.word, score.description, score.warnings)

stages/predict.py is the same from the command line, scoring/page.py in a browser.
"""
