#!/bin/sh
# Builds the Java client: a jar, its sources and its documentation, in the folder $1 (dist). The same sources and the same JDK
# give the same bytes. javac, jar and javadoc of a JDK from 17 on are all that it needs; `$2` may be `jar` for the jar alone.
set -eu
mkdir -p "${1:-dist}"
out=$(cd "${1:-dist}" && pwd)
cd "$(dirname "$0")"
version=$(sed -n 's/.*String VERSION = "\(.*\)";/\1/p' src/main/java/ai/llmos/LLMOS.java)
date=2026-01-01T00:00:00Z
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
quick="-J-XX:TieredStopAtLevel=1 -J-XX:+UseSerialGC"  # of programs that run for seconds
export LC_ALL=C TZ=UTC

command -v javac >/dev/null || { echo "The Java client is built by a JDK from 17 on: apt install default-jdk-headless." >&2; exit 1; }

# Concatenation without invokedynamic, so that a program starts sooner; without line numbers, so that the jar is smaller.
find src/main/java -name '*.java' | sort > "$work/sources"
javac $quick --release 17 -encoding UTF-8 -g:none -XDstringConcat=inline -Xlint:all,-serial,-exports,-missing-explicit-ctor -Werror \
  --module-version "$version" -d "$work/classes" @"$work/sources"

pack() { # pack FILE FOLDER: the files of a folder in a fixed order
  (cd "$2" && find . -type f | sed 's|^\./||' | sort > "$work/files")
  (cd "$2" && jar --create --file "$1" --date "$date" --no-manifest @"$work/files")
}
pack "$out/llmos-$version.jar" "$work/classes"
[ "${2:-all}" = jar ] && exit 0
pack "$out/llmos-$version-sources.jar" src/main/java
javadoc $quick -J-Dfile.encoding=UTF-8 -quiet -encoding UTF-8 -notimestamp -Xdoclint:all,-missing -Werror --release 17 -d "$work/javadoc" \
  --module-source-path ai.llmos=src/main/java --module ai.llmos
pack "$out/llmos-$version-javadoc.jar" "$work/javadoc"
cp pom.xml "$out/llmos-$version.pom"
