"""Evals: suites of cases with checks, run against models and applications, and the verdicts that gates ask for.

    suite = read_suite(path.read_text(), str(path))             # or parse_suite(document, "the suite")
    attempts = await run_cases(suite, "smollm2", asker, ...)    # each case asked, each answer checked
    report = judge_run(suite, {"smollm2": attempts})            # shares with intervals, gates, a verdict

It knows no server, no database and no engine: who runs a suite says how a request is asked (`Asker`). The same modules
run on a server, on the command line, and in the folder of an application.

Lower layers don't know higher ones:

    reports
    comparing
    verdicts
    running
    baselines | promptfoo | scoring
    measures
    asking | judges | suites
    checks
    answers | statistics
"""
