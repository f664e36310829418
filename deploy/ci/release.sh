#!/usr/bin/env bash
# Plans or applies the release of an application, in any CI or by hand.
#
#   release.sh plan support prod      what would change, and whether its evals pass
#   release.sh apply support prod     releases it; returns when it has taken over, or was rolled back
#
# LLMOS_ENDPOINT and LLMOS_API_KEY say where; the key needs the permissions of a developer and apps:deploy.
#
#   0  planned or applied           4  a gate failed, or it was rolled back
#   1  it could not be done         5  the evals are undecided: they need more cases
#   2  app.yaml or the call is wrong, or another release is taking over
set -u

verb=${1:?plan or apply} folder=${2:?the folder of the application} environment=${3:-}
arguments=("$folder" ${environment:+--env "$environment"})

case $verb in
plan)
    llmos plan "${arguments[@]}" --evals --output "${REPORT:-report.xml}"
    status=$?
    # 3: there are changes, and their evals pass.
    [ "$status" -eq 3 ] && status=0
    exit "$status"
    ;;
apply)
    exec llmos apply "${arguments[@]}" --yes --wait
    ;;
*)
    echo "$verb is neither plan nor apply." >&2
    exit 2
    ;;
esac
