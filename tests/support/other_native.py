"""A plugin of pytest that gives the tests another build of the native module, named by LLMOS_TEST_NATIVE."""

import importlib.util
import os
import sys

NAME = "llmos.engine._native"

_spec = importlib.util.spec_from_file_location(NAME, os.environ["LLMOS_TEST_NATIVE"])
assert _spec is not None
assert _spec.loader is not None
sys.modules[NAME] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(sys.modules[NAME])
