"""Makes the parts of the Java client that follow from the server's definitions: its errors, the JSON of its nouns, and
the calls of nouns.py. It replaces the files; a test fails where they are old.

    .venv/bin/python sdk/java/generator/generate.py

With --check, it changes nothing and prints the names of files that are old.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from errors import error_files
from noun_files import noun_files, settings_files
from nouns import MORE_SCHEMAS, NOUNS
from schemas import schema_files

ROOT = Path(__file__).parents[1] / "src/main/java/ai/llmos"
HEADER = "// Made by sdk/java/generator/generate.py. Don't edit.\n"


def generated() -> dict[Path, str]:
    """Return the text of each file, by its path."""
    nouns = noun_files(NOUNS)
    schemas = schema_files([*nouns.schemas, *MORE_SCHEMAS])
    folders = {"nouns": nouns.files | settings_files(), "schemas": schemas, "errors": error_files()}
    return {
        ROOT / folder / f"{name}.java": f"{HEADER}package ai.llmos.{folder};\n\n{text}"
        for folder, files in folders.items()
        for name, text in files.items()
    }


def is_generated(path: Path) -> bool:
    with path.open() as file:
        return file.readline() == HEADER


def old_files(files: dict[Path, str]) -> list[Path]:
    """Return the files that aren't made any more, or are missing, or have another text."""
    unknown = [path for path in ROOT.rglob("*.java") if is_generated(path) and path not in files]
    return unknown + [path for path, text in files.items() if not path.exists() or path.read_text() != text]


def main() -> None:
    files = generated()
    for path in old_files(files):
        if "--check" in sys.argv:
            print(path)
        elif path in files:
            path.write_text(files[path])
        else:
            path.unlink()


if __name__ == "__main__":
    main()
