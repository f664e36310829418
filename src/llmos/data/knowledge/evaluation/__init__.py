"""Evaluation of knowledge: does a search find what questions ask for, and does it recognise what isn't in there?

    cases = read_cases(dataset_rows)                       # rows of the kind `case`
    judged = [judge(case, hits) for …]                     # the hits of three searches for each question
    report = evaluate(judged, knowledge="faq@7", cases="questions@2")
    [figure.sentence for figure in report.figures]         # what was found, in plain sentences
    report.mode                                            # what searches use if they ask for no mode
    report.threshold                                       # None, with report.no_threshold saying why

Pure: knows no database, no index and no model. Lower layers don't know higher ones:

    report
    figures
    modes
    threshold
    judging
    answerability | cases | intervals
"""
